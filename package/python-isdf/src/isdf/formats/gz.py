"""gzip for packages and indexes: the same bytes for the same input, and no more output than was asked for.

RFC 1952. The header is what `gzip -n` writes (no name, no time), so that a rebuilt package has the hash it had.
"""

from __future__ import annotations

import zlib

from ..errors import FormatError

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
_UNIX = b"\x03"
_FASTEST_OR_BEST = {1: b"\x04", 9: b"\x02"}  # the byte XFL


def compress(data: bytes, level: int = 6) -> bytes:
    """`data` as one gzip member, as `gzip -n` (level 6) or `gzip -9n` (level 9) would head it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    tail = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return _HEADER + _FASTEST_OR_BEST.get(level, b"\x00") + _UNIX + body + tail


def decompress(data: bytes, max_size: int) -> bytes:
    """What one gzip member holds, `FormatError` when it is damaged, cut, followed by more, or above `max_size` bytes.

    A second member is refused although `gzip -d` would go on with it: nothing that we read is written so, and two
    readers that disagree about where a package ends are a way to show one thing and to install another.
    """
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        out = unpacker.decompress(data, max_size + 1)
    except zlib.error as error:
        raise FormatError(f"gzip data is damaged: {error}") from None
    if len(out) > max_size:
        raise FormatError(f"gzip data holds more than the {max_size} bytes that are allowed")
    if not unpacker.eof:
        raise FormatError("gzip data ends too early")
    if unpacker.unused_data:
        raise FormatError(f"{len(unpacker.unused_data)} bytes follow the gzip data")
    return out
