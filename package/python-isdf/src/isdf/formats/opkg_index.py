"""The index of a package feed, `Packages`, as OpenWrt makes it.

Reference: OpenWrt `scripts/ipkg-make-index.sh` and the rule `index` of `package/Makefile`.
"""

from __future__ import annotations

from ..errors import FormatError, InvalidError
from . import gz, stanza, usign

_LEFT_OUT = ("Maintainer", "LicenseFiles", "Source", "Require")
"""Fields whose names begin so stay out of the index (so `SourceName` and `Require-User` do, too)."""


def entry(control: dict[str, str], filename: str, size: int, sha256: str) -> dict[str, str]:
    """The index entry of the package with `control`, that `filename` (relative to the feed) holds in `size` bytes."""
    fields = {name: value for name, value in control.items() if not name.startswith(_LEFT_OUT)}
    description = fields.pop("Description", None)
    fields |= {"Filename": filename, "Size": str(size), "SHA256sum": sha256}
    return fields if description is None else fields | {"Description": description}


def dump(entries: list[dict[str, str]]) -> bytes:
    """`Packages` of `entries`, in the order of their file names; `InvalidError` where an entry has no such form."""
    for fields in entries:
        if not fields.get("Package") or not fields.get("Filename"):
            raise InvalidError(f"an index entry has no Package or no Filename: {fields.get('Package')!r}")
    ordered = sorted(entries, key=lambda fields: fields["Filename"].encode())
    return usign.pad(b"".join(stanza.dump(fields) + b"\n" for fields in ordered) or b"\n")


def parse(data: bytes) -> list[dict[str, str]]:
    """The entries of `Packages`; `FormatError` also where two packages share a name."""
    entries = stanza.parse(data)
    names = [fields.get("Package", "") for fields in entries]
    if "" in names or len(set(names)) != len(names):
        raise FormatError("the package index has an entry without a name, or a package twice")
    return entries


def compress(packages: bytes) -> bytes:
    """`Packages.gz`, the same for the same `packages`."""
    return gz.compress(packages, 9)
