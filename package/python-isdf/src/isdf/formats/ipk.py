"""OpenWrt's package format: a gzipped tar of `debian-binary`, `data.tar.gz` and `control.tar.gz`.

References: OpenWrt `scripts/ipkg-build`, `include/package-pack.mk`; opkg-lede `libbb/unarchive.c`.
What is built of the same input is the same byte for byte (on one version of zlib).
"""

from __future__ import annotations

import os

from ..errors import FormatError, InvalidError
from ..value import dataclass
from . import gz, stanza, tar
from .tar import File

MAX_SIZE = 4 << 20
_MEMBERS = ("/debian-binary", "/data.tar.gz", "/control.tar.gz")
_FORMAT = b"2.0\n"

POSTINST = b"""\
#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_postinst $0 $@
"""
PRERM = b"""\
#!/bin/sh
[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_prerm $0 $@
"""
STANDARD_SCRIPTS = {"postinst": POSTINST, "prerm": PRERM}
"""The two maintainer scripts that OpenWrt's build gives every package (`package-pack.mk`)."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a package holds: the fields of `control`, the maintainer scripts (and whatever else lies beside `control`)
    by name, and the files in their order, directories among them."""

    control: dict[str, str]
    scripts: dict[str, bytes]
    files: tuple[File, ...]


def build(
    control: dict[str, str], files: list[File], scripts: dict[str, bytes] | None = None, *, mtime: int | None = None
) -> bytes:
    """The package of `control` and `files`, with the two standard scripts unless `scripts` says otherwise.

    `Installed-Size` is filled in; directories that `files` does not name are added with mode 0755. `mtime` (Unix
    seconds) is SOURCE_DATE_EPOCH from the environment by default, and 0 without it. Raises `InvalidError`.
    """
    if mtime is None:
        mtime = _source_date_epoch()
    scripts = STANDARD_SCRIPTS if scripts is None else scripts
    for name in ("Package", "Version", "Architecture"):
        if not control.get(name):
            raise InvalidError(f"the package's control has no field {name}")
    data = gz.compress(tar.write(_with_directories(files), mtime))
    text = stanza.dump(_with_size(control, len(data)))
    inside = [File("/control", 0o644, text)]
    inside += [File(f"/{name}", 0o755 if body.startswith(b"#!") else 0o644, body) for name, body in scripts.items()]
    members = (_FORMAT, data, gz.compress(tar.write(_with_directories(inside), mtime)))
    outer = [File(path, 0o644, body) for path, body in zip(_MEMBERS, members, strict=True)]
    return gz.compress(tar.write(outer, mtime))


def read(data: bytes, *, max_size: int = MAX_SIZE) -> Package:
    """What the package `data` holds; `FormatError` when it is damaged, ambiguous or unpacks to over `max_size` bytes.

    Links, devices, owners and modes of the files are reported as they are: whether they may be is another question.
    """
    members = _by_name(tar.read(gz.decompress(data, max_size)), "package")
    if set(members) != set(_MEMBERS) or members["/debian-binary"].data != _FORMAT:
        raise FormatError("a package consists of debian-binary 2.0, data.tar.gz and control.tar.gz")
    inside = _by_name(tar.read(gz.decompress(members["/control.tar.gz"].data, max_size)), "control archive")
    inside.pop("/", None)
    for file in inside.values():
        if file.kind != "file" or file.mode not in (0o644, 0o755) or "/" in file.path[1:]:
            raise FormatError(f"the control archive has {file.path!r}, which is not a plain file")
    stanzas = stanza.parse(inside.pop("/control").data) if "/control" in inside else []
    if len(stanzas) != 1:
        raise FormatError("the control archive has no file control of one stanza")
    files = tar.read(gz.decompress(members["/data.tar.gz"].data, max_size))
    _by_name(files, "package")
    return Package(stanzas[0], {path[1:]: file.data for path, file in inside.items()}, tuple(files))


def _by_name(files: list[File], what: str) -> dict[str, File]:
    by_name = {file.path: file for file in files}
    if len(by_name) != len(files):
        raise FormatError(f"the {what} has an entry twice")
    return by_name


def _with_directories(files: list[File]) -> list[File]:
    """`files` and the directories above them in tar's order, the root first."""
    named = {}
    for file in files:
        if file.path in named:
            raise InvalidError(f"the package has {file.path!r} twice")
        named[file.path] = file
    for file in files:
        parts = file.path.split("/")
        for end in range(1, len(parts)):
            path = "/".join(parts[:end]) or "/"
            if named.setdefault(path, File(path, 0o755, kind="directory")).kind != "directory":
                raise InvalidError(f"the package has {path!r} as a file and as a directory")
    named.setdefault("/", File("/", 0o755, kind="directory"))
    return sorted(named.values(), key=lambda file: tar.order(file.path))


def _with_size(control: dict[str, str], size: int) -> dict[str, str]:
    """`control` with the size of its data, and the description last, as OpenWrt's build orders them."""
    fields = {**control, "Installed-Size": str(size)}
    if "Description" in fields:
        fields["Description"] = fields.pop("Description")
    return fields


def _source_date_epoch() -> int:
    value = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not value.isdecimal():
        raise InvalidError(f"SOURCE_DATE_EPOCH is {value!r}; it must be seconds since 1970")
    return int(value)
