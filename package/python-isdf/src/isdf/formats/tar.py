"""The tar of OpenWrt's packages: GNU format as `tar --format=gnu --sort=name` writes it, and nothing beside.

Reference: GNU tar manual, "Basic Tar Format"; opkg-lede `libbb/unarchive.c` for what a router makes of it. The reader
takes no more than the writer writes, plus links and devices, which it reports: whatever two programs could understand
in two ways (other formats, a regular file with a link's target, numbers that are not plain octal) is a `FormatError`.
"""

from __future__ import annotations

from ..errors import FormatError, InvalidError
from ..value import dataclass

_BLOCK, _RECORD = 512, 10240
_MAGIC = b"ustar  \0"
_KINDS = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"3": "character device", b"4": "block device",
          b"5": "directory", b"6": "fifo"}  # fmt: skip
_TYPES = {kind: flag for flag, kind in _KINDS.items()}
_LONG_NAME, _LONG_TARGET = b"L", b"K"
_MAX_PATH, _MAX_ENTRIES = 1024, 1024


@dataclass(frozen=True, slots=True)
class File:
    """An entry of a package: its absolute `path` on the router, permission bits, content and owner.

    `kind` is one of "file", "directory", "symlink", "hardlink", "character device", "block device", "fifo";
    `target` is where a link leads. A router takes the numeric owner, `uid` and `gid`, and not the names.
    """

    path: str
    mode: int
    data: bytes = b""
    user: str = "root"
    group: str = "root"
    kind: str = "file"
    target: str = ""
    uid: int = 0
    gid: int = 0


def order(path: str) -> list[bytes]:
    """The key that sorts paths as GNU tar walks: by name within each directory."""
    return path.encode().split(b"/")


def write(files: list[File], mtime: int) -> bytes:
    """The archive of `files` in the order given, `mtime` (Unix seconds) on each; `InvalidError` for what cannot be."""
    out = bytearray()
    for file in files:
        if not _is_path(file.path) or file.kind not in _TYPES or (file.data and file.kind != "file"):
            raise InvalidError(f"{file.path!r} is not an absolute path, or its kind {file.kind!r} does not fit")
        name = ("." + file.path).encode()
        if file.kind == "directory" and not name.endswith(b"/"):
            name += b"/"
        target = file.target.encode()
        for flag, text in ((_LONG_TARGET, target), (_LONG_NAME, name)):
            if len(text) > 100:
                out += _header(b"././@LongLink", File("", 0o644), flag, len(text) + 1, b"", 0) + _padded(text + b"\0")
        out += _header(name[:100], file, _TYPES[file.kind], len(file.data), target[:100], mtime) + _padded(file.data)
    out += bytes(2 * _BLOCK)
    return bytes(out) + bytes(-len(out) % _RECORD)


def read(data: bytes) -> list[File]:
    """The entries of an archive; `FormatError` for anything that `write` would not have made of files and links."""
    files: list[File] = []
    position, name, target = 0, None, None
    while True:
        block = data[position : position + _BLOCK]
        if len(block) < _BLOCK:
            raise FormatError("the archive ends too early")
        if not any(block):
            break
        if len(files) == _MAX_ENTRIES:
            raise FormatError(f"the archive has more than {_MAX_ENTRIES} entries")
        flag, size = _check(block), _number(block, 124, 12)
        body = data[position + _BLOCK : position + _BLOCK + size]
        rest = data[position + _BLOCK + size : position + _BLOCK + size + -size % _BLOCK]
        position += _BLOCK + size + -size % _BLOCK
        if len(body) != size or any(rest) or position > len(data):
            raise FormatError("the archive ends inside a file, or is not padded with zeros")
        if flag == _LONG_NAME and name is None:
            name = _long(body)
        elif flag == _LONG_TARGET and target is None:
            target = _long(body)
        elif flag in _KINDS:
            files.append(_entry(block, body, flag, name, target))
            name = target = None
        else:
            raise FormatError(f"the archive has an entry of type {flag!r}, which packages do not have")
    if name is not None or target is not None:
        raise FormatError("the archive ends after a long name")
    if len(data) - position < 2 * _BLOCK or len(data) % _BLOCK or any(data[position:]):
        raise FormatError("the archive does not end with zeros alone")
    return files


def _header(name: bytes, file: File, flag: bytes, size: int, target: bytes, mtime: int) -> bytes:
    user, group = file.user.encode(), file.group.encode()
    numbers = (file.mode, file.uid, file.gid)
    if max(len(user), len(group)) > 31 or not all(0 <= n < 8**7 for n in numbers) or not 0 <= mtime < 8**11:
        raise InvalidError(f"{file.path!r}: owner, mode or time do not fit into an archive")
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), *numbers, size, mtime)
    tail = flag + target.ljust(100, b"\0") + _MAGIC + user.ljust(32, b"\0") + group.ljust(32, b"\0")
    tail = tail.ljust(_BLOCK - 156, b"\0")
    return head + b"%06o\0 " % (sum(head) + sum(tail) + 8 * ord(" ")) + tail


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _check(block: bytes) -> bytes:
    """The type of a header that is one."""
    if block[257:265] != _MAGIC or any(block[345:]):
        raise FormatError("the archive is not of the GNU format that OpenWrt's packages have")
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if block[148:156] != b"%06o\0 " % total:
        raise FormatError("the archive is damaged: a header's checksum does not fit")
    return block[156:157]


def _number(block: bytes, start: int, length: int) -> int:
    digits = block[start : start + length - 1]
    if block[start + length - 1] or not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise FormatError("the archive has a number that is not plain octal")
    return int(digits, 8)


def _string(field: bytes) -> str:
    text, _, rest = field.partition(b"\0")
    if any(rest):
        raise FormatError("the archive has bytes behind the end of a name")
    return _decode(text)


def _decode(text: bytes) -> str:
    try:
        name = text.decode()
    except UnicodeDecodeError:
        raise FormatError("the archive has a name that is not UTF-8") from None
    if not name.isprintable():
        raise FormatError(f"the archive has a name with control characters: {name[:60]!r}")
    return name


def _long(body: bytes) -> str:
    if not 100 < len(body) - 1 <= _MAX_PATH or body.index(b"\0") != len(body) - 1 if b"\0" in body else True:
        raise FormatError("the archive has a long name that is not one")
    return _decode(body[:-1])


def _entry(block: bytes, body: bytes, flag: bytes, name: str | None, target: str | None) -> File:
    kind = _KINDS[flag]
    name = _string(block[:100]) if name is None else name
    target = _string(block[157:257]) if target is None else target
    path = name.removeprefix(".")
    if kind == "directory" and path != "/":
        path = path.removesuffix("/")
    if not name.startswith("./") or not _is_path(path):
        raise FormatError(f"the archive has an entry {name[:200]!r}, which is not below './'")
    if bool(target) != (kind in ("symlink", "hardlink")) or (body and kind != "file"):
        raise FormatError(f"the archive's entry {path!r} is not plainly a {kind}")
    mode, uid, gid = (_number(block, start, 8) for start in (100, 108, 116))
    return File(path, mode, body, _string(block[265:297]), _string(block[297:329]), kind, target, uid, gid)


def _is_path(path: str) -> bool:
    """Whether `path` is absolute and plain: no '.', '..' or empty part, nothing that does not print."""
    return (
        path.startswith("/")
        and len(path.encode("utf-8", "replace")) < _MAX_PATH
        and path.isprintable()
        and (path == "/" or not any(part in ("", ".", "..") for part in path[1:].split("/")))
    )
