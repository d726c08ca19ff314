"""DNS messages: a question to ask, and the addresses that an answer gives to which names. Pure, bounded.

Reference: RFC 1035 section 4 (message, compression), RFC 3596 (AAAA), RFC 2181 section 8 (a TTL has 31 bits).
Compression may only point backwards, so that a name ends; a name that is not text of a host is passed over.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from isdf.errors import FormatError

A, CNAME, AAAA = 1, 5, 28
NO_ERROR, NX_DOMAIN = 0, 3
PORT = 53

_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_MAX_RECORDS = 128
_MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record of class IN; `data` is an address, a name (CNAME) or None for other types."""

    name: str | None
    type: int
    ttl: int
    data: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message with one question. `truncated`: the rest comes over TCP only."""

    id: int
    response: bool
    truncated: bool
    rcode: int
    name: str
    type: int
    answers: tuple[Record, ...]


def question(identifier: int, name: str, kind: int) -> bytes:
    """A recursive question for the records of type `kind` of `name` (as `isdf.model.parse_host` gives it)."""
    labels = b"".join(bytes([len(label)]) + label for label in name.encode("ascii").split(b"."))
    return _HEADER.pack(identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def parse(data: bytes) -> Message:
    """The message in `data`; `FormatError` where it is none, or has not exactly one question.

    Records that are cut off at the end (a snapshot of a packet, a truncated answer) are left out.
    """
    if len(data) < _HEADER.size:
        raise FormatError(f"a DNS message has a header of {_HEADER.size} bytes, this has {len(data)}")
    identifier, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if questions != 1:
        raise FormatError(f"a DNS message has {questions} questions instead of one")
    name, position = _name(data, _HEADER.size)
    if name is None or position + 4 > len(data):
        raise FormatError("the question of a DNS message is cut off or not for a host")
    kind, network = struct.unpack_from(">HH", data, position)
    if network != 1:
        raise FormatError(f"a DNS message is of class {network} instead of the Internet's")
    found, position = [], position + 4
    for _ in range(min(answers, _MAX_RECORDS)):
        try:
            record, position = _record(data, position)
        except FormatError:
            break
        if record:
            found.append(record)
    return Message(identifier, bool(flags & 0x8000), bool(flags & 0x0200), flags & 0xF, name, kind, tuple(found))


def addresses(message: Message) -> list[tuple[str, str, int]]:
    """(name, address, TTL in seconds) of each name on the way from the question, over CNAMEs, to an address.

    The TTL is the shortest on the way. Records that do not follow from the question are passed over: an answer speaks
    for the name that was asked for.
    """
    if not message.response or message.rcode != NO_ERROR:
        return []
    aliases = {r.name: r for r in reversed(message.answers) if r.type == CNAME and r.name and r.data}
    names, ttl, found = [message.name], 1 << 31, []
    for _ in range(_MAX_CHAIN):
        for record in message.answers:
            if record.name == names[-1] and record.type in (A, AAAA):
                found += [(name, record.data, min(ttl, record.ttl)) for name in names]
        alias = aliases.get(names[-1])
        if alias is None or alias.data in names:
            break
        ttl = min(ttl, alias.ttl)
        names.append(alias.data)
    return found


def _record(data: bytes, position: int) -> tuple[Record | None, int]:
    name, position = _name(data, position)
    if position + _RECORD.size > len(data):
        raise FormatError("a DNS record is cut off")
    kind, network, ttl, length = _RECORD.unpack_from(data, position)
    position += _RECORD.size
    end = position + length
    if end > len(data):
        raise FormatError("the data of a DNS record is cut off")
    if network != 1 or name is None:
        return None, end
    value = None
    if (kind, length) in ((A, 4), (AAAA, 16)):
        value = str(ipaddress.ip_address(data[position:end]))
    elif kind == CNAME:
        value, after = _name(data, position)
        value = value if after == end else None
    elif kind in (A, AAAA):
        return None, end
    return Record(name, kind, ttl if ttl < 1 << 31 else 0, value), end


def _name(data: bytes, position: int) -> tuple[str | None, int]:
    """The name at `position` in lower case (None: not of a host) and where what follows it begins."""
    labels, size, after, limit = [], 0, None, position
    while True:
        if position >= len(data):
            raise FormatError("a DNS name is cut off")
        length = data[position]
        if length >= 0xC0:
            if position + 2 > len(data):
                raise FormatError("a DNS name is cut off")
            after = position + 2 if after is None else after
            target = (length & 0x3F) << 8 | data[position + 1]
            if target >= limit:
                raise FormatError("a DNS name points forwards")
            position = limit = target
            continue
        if length >= 0x40:
            raise FormatError(f"a DNS label has the reserved type {length >> 6}")
        position += 1
        if length == 0:
            break
        label = data[position : position + length]
        size += length + 1
        if len(label) < length or size > 255:
            raise FormatError("a DNS name is cut off or longer than 255 bytes")
        labels.append(label.lower())
        position += length
    name = b".".join(labels)
    host = name.replace(b"-", b"").replace(b"_", b"").replace(b".", b"")
    text = name.decode() if host.isalnum() and host.isascii() else None
    return text, position if after is None else after
