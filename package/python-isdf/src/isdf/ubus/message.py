"""Messages of OpenWrt's bus: header, attributes, statuses. Bytes in, values out; no I/O.

    header      version 0 | type | 16 bits sequence | 32 bits peer, big endian
    body        an attribute of id 0 that holds the attributes `Attr` (blobmsg.py has the form of an attribute)

A reply carries the sequence of its request, and as peer the object that was asked (0: ubusd itself).
Reference: openwrt/ubus `ubusmsg.h`, `ubusd_proto.c`.
"""

import struct

from ..errors import FormatError, IsdfError
from .blobmsg import MAX_SIZE

(HELLO, STATUS, DATA, PING, LOOKUP, INVOKE, ADD_OBJECT, REMOVE_OBJECT, SUBSCRIBE, UNSUBSCRIBE, NOTIFY, MONITOR) = range(
    12
)
MAX_ADDED = 1024  # bytes; two names, each of up to 256 bytes on Linux
EVENT_OBJECT = 1  # ubusd's own object, methods `register` and `send`


class Attr:
    """Ids of a message's attributes."""

    STATUS, OBJPATH, OBJID, METHOD, OBJTYPE, SIGNATURE, DATA, TARGET, ACTIVE, NO_REPLY, SUBSCRIBERS, USER, GROUP = (
        range(1, 14)
    )


class Status:
    """How a request ended; 0 is well."""

    (OK, INVALID_COMMAND, INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND, NO_DATA, PERMISSION_DENIED, TIMEOUT,
     NOT_SUPPORTED, UNKNOWN_ERROR, CONNECTION_FAILED, NO_MEMORY, PARSE_ERROR, SYSTEM_ERROR) = range(14)  # fmt: skip

    TEXTS = (
        "Success", "Invalid command", "Invalid argument", "Method not found", "Not found", "No response",
        "Permission denied", "Request timed out", "Operation not supported", "Unknown error", "Connection failed",
        "Out of memory", "Parsing message data failed", "System error",
    )  # fmt: skip

    @classmethod
    def text(cls, status: int) -> str:
        """What the `ubus` command says to `status`."""
        return cls.TEXTS[status] if 0 <= status < len(cls.TEXTS) else f"Unknown error: {status}"


class StatusError(IsdfError):
    """A request on the bus ended with a status other than 0. Raised by a handler, it is the answer to its caller."""

    slug, title = "bus", "The call on the bus failed"

    def __init__(self, status: int, what: str = "") -> None:
        self.status = status
        self.name = Status.text(status) if isinstance(status, int) else str(status)
        super().__init__(f"{what}: {self.name}" if what else self.name)


class Message:
    """One message; `attrs` maps ids to values as bytes (the last of an id counts)."""

    __slots__ = ("attrs", "peer", "seq", "type")

    def __init__(self, type: int, seq: int, peer: int, attrs: dict[int, bytes]) -> None:
        self.type, self.seq, self.peer, self.attrs = type, seq, peer, attrs

    def number(self, attr: int) -> int | None:
        """A 32 bit attribute; None where it is missing or of another size."""
        value = self.attrs.get(attr)
        return _U32.unpack(value)[0] if value is not None and len(value) == 4 else None

    def flag(self, attr: int) -> bool:
        """An 8 bit attribute; False where it is missing or of another size."""
        value = self.attrs.get(attr)
        return value is not None and len(value) == 1 and value != b"\0"

    def text(self, attr: int) -> str | None:
        """A text attribute; None where it is missing or not terminated."""
        value = self.attrs.get(attr)
        if not value or value[-1]:
            return None
        return str(value[: value.index(0)], "utf-8", "replace")


_HEAD = struct.Struct(">BBHII")
_U32 = struct.Struct(">I")


def pack(type: int, seq: int, peer: int, attrs: dict[int, object], largest: int = MAX_SIZE) -> bytes:
    """A message on the wire. Values: int (32 bit), bool (8 bit), str, bytes as they are; None is left out.

    `StatusError` where it would have more than `largest` bytes after its header.
    """
    out = bytearray(_HEAD.size)
    for attr, value in attrs.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = b"\1" if value else b"\0"
        elif isinstance(value, int):
            value = _U32.pack(value)
        elif isinstance(value, str):
            value = value.encode("utf-8", "replace") + b"\0"
        length = len(value) + 4
        out += _U32.pack(attr << 24 | length)
        out += value
        out += bytes(-length % 4)
    if len(out) - 8 > largest:
        raise StatusError(Status.NO_MEMORY, f"a message of {len(out)} bytes is larger than the bus carries")
    _HEAD.pack_into(out, 0, 0, type, seq, peer, len(out) - 8)
    return bytes(out)


class Reader:
    """Cuts the bytes of a stream into messages of up to `largest` bytes, however they were split or joined on the way.

    A call may be larger than its caller may send it: ubusd adds the caller's user and group and does not look again.
    """

    __slots__ = ("_buffer", "_largest")

    def __init__(self, largest: int = MAX_SIZE + MAX_ADDED) -> None:
        self._buffer, self._largest = bytearray(), largest

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes; `FormatError` when the stream cannot be followed any further."""
        buffer = self._buffer
        buffer += data
        found, pos, size = [], 0, len(buffer)
        while size - pos >= 12:
            version, kind, seq, peer, word = _HEAD.unpack_from(buffer, pos)
            length = word & 0xFFFFFF
            if version or not 4 <= length <= self._largest:
                raise FormatError(f"a message of version {version} and {length} bytes is not one of this bus")
            if size - pos < 8 + length:
                break
            found.append(Message(kind, seq, peer, _attrs(bytes(buffer[pos + 12 : pos + 8 + length]))))
            pos += 8 + length
        if pos:
            del buffer[:pos]
        return found


def _attrs(body: bytes) -> dict[int, bytes]:
    """The attributes in `body`, up to the first that is cut off, as libubox reads them."""
    attrs, pos, end = {}, 0, len(body)
    while end - pos >= 4:
        word = _U32.unpack_from(body, pos)[0]
        length = word & 0xFFFFFF
        after = pos + (length + 3 & ~3)
        if length < 4 or after > end:
            break
        attrs[word >> 24 & 0x7F] = body[pos + 4 : pos + length]
        pos = after
    return attrs
