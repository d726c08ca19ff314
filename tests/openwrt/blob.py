"""Tables as ubusd looks into them, for the stand-in: no deeper than it must, and the rest passed on as it came.

Reference: openwrt/libubox `blob.h`, `blobmsg.c`. (isdf.ubus.blobmsg reads whole tables, and strictly.)
"""

from collections.abc import Iterator

from isdf.ubus import blobmsg

_EXACT = {blobmsg.INT64: 8, blobmsg.INT32: 4, blobmsg.INT16: 2, blobmsg.BOOL: 1}
_AT_LEAST = {blobmsg.STRING: 1, blobmsg.DOUBLE: 8}


class Element:
    """One element of a table: `raw` are all its bytes, without padding; `sound` says whether libubox would take it."""

    __slots__ = ("name", "raw", "sound", "type", "value")

    def __init__(self, raw: bytes) -> None:
        self.raw, self.type, self.name, self.value = raw, raw[0] & 0x7F, None, raw[4:]
        self.sound = self.type <= blobmsg.DOUBLE
        if raw[0] & 0x80:
            size = int.from_bytes(raw[4:6], "big")
            start = 4 + (size + 6 & ~3)
            if len(raw) < max(start, 6) or raw[6 + size]:
                self.sound = False
            else:
                self.name, self.value = raw[6 : 6 + size], raw[start:]
        if len(self.value) != _EXACT.get(self.type, len(self.value)) or len(self.value) < _AT_LEAST.get(self.type, 0):
            self.sound = False
        if self.type == blobmsg.STRING and self.value[-1:] != b"\0":
            self.sound = False


def elements(data: bytes) -> Iterator[Element]:
    """The elements of a table, up to the first that does not fit into it."""
    pos = 0
    while len(data) - pos >= 4:
        length = int.from_bytes(data[pos + 1 : pos + 4], "big")
        after = pos + (length + 3 & ~3)
        if after - pos < 4 or after > len(data):
            return
        yield Element(data[pos : pos + length])
        pos = after


def find(data: bytes, wanted: dict[str, int]) -> list[bytes | None]:
    """The values of the first elements of these names and types, up to the first that is not sound."""
    found: dict[str, bytes] = {}
    for element in elements(data):
        if not element.sound:
            break
        for name, kind in wanted.items():
            if element.name == name.encode() and element.type == kind:
                found.setdefault(name, element.value)
    return [found.get(name) for name in wanted]


def methods(signature: bytes) -> list[tuple[str, bytes]] | None:
    """Names and elements, padded, of an object's methods; None where one has no name or is not sound."""
    found = []
    for element in elements(signature):
        if not element.sound or not element.name:
            return None
        name = text(element.name + b"\0")
        found.append((name, element.raw + bytes(-len(element.raw) % 4)))
    return found


def text(value: bytes) -> str:
    """A text up to its NUL."""
    return str(value[: value.index(0)], "utf-8", "replace")
