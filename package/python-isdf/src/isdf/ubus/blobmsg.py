"""blobmsg, the data format of OpenWrt's bus: Python values to bytes and back.

    attribute   1 bit "has a name" | 7 bits type | 24 bits length, big endian; the length counts these 4 bytes, the
                name and the value, but not the padding to a multiple of 4 that follows
    name        16 bits length, the bytes, a NUL, padding to a multiple of 4; all elements of a table have one
    value       table and array: attributes; string: UTF-8 and a NUL; numbers: big endian

Reference: openwrt/libubox `blob.h`, `blobmsg.h`. As in libubox, the first of two elements of one name counts.

    dict table | list array | str string | bool int8 | int int32 where it fits, else int64 | float double | None unspec
"""

import struct

from ..errors import FormatError, InvalidError

UNSPEC, ARRAY, TABLE, STRING, INT64, INT32, INT16, BOOL, DOUBLE = range(9)

MAX_SIZE = 1 << 20  # bytes; ubusd closes the connection on more
MAX_DEPTH = 32  # nested tables and arrays; json-c, which feeds the `ubus` command, has the same
MAX_ITEMS = 1 << 16  # elements of one message; bounds what a hostile megabyte becomes in memory

_NAMED = 0x80000000
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
_NUMBERS = {
    INT64: struct.Struct(">q"), INT32: struct.Struct(">i"), INT16: struct.Struct(">h"), DOUBLE: struct.Struct(">d"),
}  # fmt: skip


def encode(table: dict) -> bytes:
    """The elements of `table`, one after the other. `InvalidError` on what blobmsg cannot carry."""
    out = bytearray()
    _put_items(out, table, 0)
    if len(out) > MAX_SIZE:
        raise InvalidError(f"a message of {len(out)} bytes is larger than the bus carries ({MAX_SIZE}); send less")
    return bytes(out)


def decode(data: bytes) -> dict:
    """The table whose elements are `data`; `FormatError` if it is malformed or past the bounds above."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"{len(data)} bytes are more than a message may have ({MAX_SIZE})")
    return _Decoder(data).table(0, len(data), 0)


def _put_items(out: bytearray, value: dict | list | tuple, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidError(f"a message nests deeper than {MAX_DEPTH} tables and arrays")
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise InvalidError(f"a table on the bus has names of text, not {name!r}")
            _put(out, _text(name), item, depth)
    else:
        for item in value:
            _put(out, b"", item, depth)


def _put(out: bytearray, name: bytes, value: object, depth: int) -> None:
    start = len(out)
    if len(name) > 0xFFFF:
        raise InvalidError("a name on the bus is longer than 65535 bytes")
    out += b"\0\0\0\0"
    out += _U16.pack(len(name))
    out += name
    out += bytes(1 + -(len(name) + 3) % 4)
    if isinstance(value, str):
        kind = STRING
        out += _text(value)
        out.append(0)
    elif isinstance(value, bool):
        kind = BOOL
        out.append(value)
    elif isinstance(value, int):
        kind = INT32 if -0x80000000 <= value <= 0x7FFFFFFF else INT64
        try:
            out += _NUMBERS[kind].pack(value)
        except struct.error:
            raise InvalidError(f"{value} does not fit the 64 bits that the bus has for a number") from None
    elif isinstance(value, dict):
        kind = TABLE
        _put_items(out, value, depth + 1)
    elif isinstance(value, list | tuple):
        kind = ARRAY
        _put_items(out, value, depth + 1)
    elif isinstance(value, float):
        kind = DOUBLE
        out += _NUMBERS[DOUBLE].pack(value)
    elif value is None:
        kind = UNSPEC
    else:
        raise InvalidError(f"the bus cannot carry a value of type {type(value).__name__}")
    length = len(out) - start
    if length > MAX_SIZE:
        raise InvalidError(f"a value of {length} bytes is larger than the bus carries ({MAX_SIZE}); send less")
    _U32.pack_into(out, start, _NAMED | kind << 24 | length)
    out += bytes(-length % 4)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if 0 in data:
        raise InvalidError("text on the bus cannot hold a NUL character")
    return data


class _Decoder:
    __slots__ = ("data", "left")

    def __init__(self, data: bytes) -> None:
        self.data, self.left = data, MAX_ITEMS

    def table(self, pos: int, end: int, depth: int) -> dict:
        found = {}
        while pos < end:
            name, value, pos = self.item(pos, end, depth)
            # An element without a name cannot be asked for; libubox passes over it too.
            if name is not None:
                found.setdefault(name, value)
        return found

    def array(self, pos: int, end: int, depth: int) -> list:
        found = []
        while pos < end:
            _, value, pos = self.item(pos, end, depth)
            found.append(value)
        return found

    def item(self, pos: int, end: int, depth: int) -> tuple[str | None, object, int]:
        """The element at `pos` that must end before `end`: its name, its value and where the next one is."""
        data = self.data
        if end - pos < 4:
            raise FormatError(f"{end - pos} bytes are left over at {pos}")
        self.left -= 1
        if self.left < 0:
            raise FormatError(f"a message has more than {MAX_ITEMS} elements")
        word = _U32.unpack_from(data, pos)[0]
        kind, length = word >> 24 & 0x7F, word & 0xFFFFFF
        after = pos + (length + 3 & ~3)
        if length < 4 or after > end:
            raise FormatError(f"the element at {pos} has a length of {length}, with {end - pos} bytes left")
        end, pos = pos + length, pos + 4
        name = None
        if word & _NAMED:
            if end - pos < 4:
                raise FormatError(f"the name at {pos} is cut off")
            size = _U16.unpack_from(data, pos)[0]
            start, pos = pos + 2, pos + (size + 6 & ~3)
            if pos > end or data[start + size]:
                raise FormatError(f"the name at {start} does not end where it should")
            name = str(data[start : start + size], "utf-8", "replace")
        return name, self.value(kind, pos, end, depth), after

    def value(self, kind: int, pos: int, end: int, depth: int) -> object:
        data = self.data
        if kind == STRING:
            if pos == end or data[end - 1]:
                raise FormatError(f"the text at {pos} does not end with a NUL")
            return str(data[pos : data.index(0, pos)], "utf-8", "replace")
        if kind == BOOL:
            if end - pos != 1:
                raise FormatError(f"the int8 at {pos} has {end - pos} bytes")
            return data[pos] != 0
        if kind in (TABLE, ARRAY):
            if depth >= MAX_DEPTH:
                raise FormatError(f"a message nests deeper than {MAX_DEPTH} tables and arrays")
            return (self.table if kind == TABLE else self.array)(pos, end, depth + 1)
        if number := _NUMBERS.get(kind):
            # libubox takes a double that is followed by more; nothing makes one.
            if end - pos != number.size:
                raise FormatError(f"the number at {pos} has {end - pos} bytes instead of {number.size}")
            return number.unpack_from(data, pos)[0]
        if kind == UNSPEC:
            return None
        raise FormatError(f"the element at {pos} has the unknown type {kind}")
