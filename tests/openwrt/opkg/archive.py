"""Packages as opkg reads them: a tar in gzip that holds two more. Lenient, unlike `isdf.formats.ipk`."""

import os
import zlib


class Broken(Exception):
    """The file is no package."""


class Member:
    """An entry of an archive: `path` as it stands there, `kind` (tar's letter), permission bits, content, owner."""

    def __init__(self, header, data, long_name):
        text = lambda start, end: header[start:end].split(b"\0")[0].decode(errors="surrogateescape")  # noqa: E731
        number = lambda start, end: int(text(start, end).strip() or "0", 8)  # noqa: E731
        self.path, self.kind, self.target = long_name or text(0, 100), header[156:157], text(157, 257)
        self.mode, self.uid, self.gid = number(100, 108) & 0o7777, number(108, 116), number(116, 124)
        self.mtime, self.data = number(136, 148), data


def inner(path, name):
    """The entries of the archive `name` ("control.tar.gz" or "data.tar.gz") inside the package `path`."""
    try:
        with open(path, "rb") as file:
            outer = members(file.read())
        for member in outer:
            if member.path.removeprefix("./") == name:
                return members(member.data)
    except (OSError, ValueError, zlib.error) as error:
        raise Broken(str(error)) from None
    raise Broken(f"no {name}")


def members(data):
    """The entries of a gzipped tar."""
    data = _unzipped(data)
    found, position, long_name = [], 0, None
    while len(header := data[position : position + 512]) == 512 and header[257:262] == b"ustar":
        size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
        body = data[position + 512 : position + 512 + size]
        if header[156:157] == b"L":
            long_name = body.rstrip(b"\0").decode(errors="surrogateescape")
        else:
            found.append(Member(header, body, long_name))
            long_name = None
        position += 512 + size + -size % 512
    return found


def _unzipped(data):
    """What a gzip member holds, whatever its checksum: the child that unzips for opkg is not asked how it ended."""
    if data[:3] != b"\x1f\x8b\x08":
        raise Broken("no gzip data")
    start = data.index(b"\0", 10) + 1 if data[3] & 8 else 10
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:])


def extract(member, path):
    """Make the file, folder or link that `member` is at `path`; what cannot be made is left out, as opkg does."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        if member.kind == b"5":
            if not os.path.isdir(path):
                os.mkdir(path, member.mode)
        else:
            if os.path.lexists(path) and not os.path.isdir(path):
                os.unlink(path)
            if member.kind == b"2":
                os.symlink(member.target, path)
                return
            with open(path, "wb") as file:
                file.write(member.data)
        os.utime(path, (member.mtime, member.mtime))
        os.chown(path, member.uid, member.gid)
    except OSError:
        pass
    if os.path.exists(path):
        os.chmod(path, member.mode)
