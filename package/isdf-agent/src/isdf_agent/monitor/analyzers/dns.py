"""DNS messages: the addresses that an answer gives a name, and the question that asks for them. Pure and bounded.

    header      id 2, flags 2 (QR 0x8000, TC 0x0200, RCODE 0x000f), counts of question, answer, authority, additional
    question    name, type 2, class 2
    record      name, type 2, class 2, ttl 4, length 2, data: A 4 bytes, AAAA 16 bytes, CNAME a name
    name        labels of a length byte (1 to 63) and so many bytes, to a 0; 0xC0 and 14 bits point to an earlier name

Reference: RFC 1035 sections 4.1 and 2.3.4 (sizes); RFC 3596 (AAAA); RFC 2181 section 8 (TTL).
"""

from __future__ import annotations

import socket
import struct

from isdf.errors import FormatError
from isdf.value import dataclass

A, CNAME, AAAA, IN = 1, 5, 28, 1
NXDOMAIN = 3
MAX_RECORDS = 100  # looked at in one answer
MAX_CHAIN = 16  # names from the question to an address
_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")


@dataclass(frozen=True, slots=True)
class Address:
    """`names`: the question's name and the CNAMEs after it, up to the one that has the address. `ttl` of the whole
    chain, in seconds."""

    names: tuple[str, ...]
    address: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`kind` is the type that was asked for; names are in lower case without the last dot."""

    id: int
    name: str
    kind: int
    rcode: int
    truncated: bool
    addresses: tuple[Address, ...]


def query(number: int, name: str, kind: int) -> bytes:
    """The message that asks for `name`'s records of type `kind`, recursion desired."""
    labels = b"".join(bytes([len(label)]) + label for label in name.encode("ascii").split(b"."))
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, IN)


def parse(message: bytes) -> Answer:
    """An answer to one question; else `FormatError`.

    Believed are only records of the answer section that a chain of CNAMEs leads to from the question. A message that is
    cut off (by NFLOG's snap length) gives what stands before the cut.
    """
    if len(message) < _HEADER.size:
        raise FormatError("DNS message without a header")
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if not flags & 0x8000 or flags & 0x7800:
        raise FormatError("DNS message that is no answer to a query")
    if questions != 1:
        raise FormatError(f"DNS answer to {questions} questions")
    name, at = _name(message, _HEADER.size)
    if at + 4 > len(message):
        raise FormatError("DNS question that is cut off")
    kind, klass = struct.unpack_from(">HH", message, at)
    if klass != IN:
        raise FormatError(f"DNS question of class {klass}")
    aliases, found = _records(message, at + 4, min(answers, MAX_RECORDS))
    addresses = () if flags & 0xF else _follow(name, aliases, found)
    return Answer(number, name, kind, flags & 0xF, bool(flags & 0x0200), addresses)


def _records(message: bytes, at: int, count: int) -> tuple[dict, dict]:
    """CNAMEs by their owner, and addresses by their owner, each with its TTL."""
    aliases: dict[str, tuple[str, int]] = {}
    found: dict[str, list[tuple[str, int]]] = {}
    for _ in range(count):
        try:
            owner, at = _name(message, at)
        except FormatError:
            break
        if at + _RECORD.size > len(message):
            break
        kind, klass, ttl, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        data = message[at : at + length]
        if len(data) < length:
            break
        ttl = 0 if ttl & 0x80000000 else ttl
        if klass == IN and kind == CNAME:
            try:
                aliases.setdefault(owner, (_name(message, at)[0], ttl))
            except FormatError:
                break
        elif klass == IN and (kind, length) in ((A, 4), (AAAA, 16)):
            family = socket.AF_INET if kind == A else socket.AF_INET6
            found.setdefault(owner, []).append((socket.inet_ntop(family, data), ttl))
        at += length
    return aliases, found


def _follow(name: str, aliases: dict, found: dict) -> tuple[Address, ...]:
    names, least = [name], 1 << 31
    while name in aliases and name not in found and len(names) < MAX_CHAIN:
        name, ttl = aliases[name]
        if name in names:
            return ()
        names.append(name)
        least = min(least, ttl)
    return tuple(Address(tuple(names), address, min(least, ttl)) for address, ttl in found.get(name, ()))


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at `at`, and where the next field begins. Pointers may only lead backwards, so there are no loops."""
    labels: list[bytes] = []
    length, end, limit = 0, 0, at
    while True:
        if at >= len(message):
            raise FormatError("DNS name that is cut off")
        size = message[at]
        if size == 0:
            return b".".join(labels).decode("ascii", "backslashreplace").lower(), end or at + 1
        if size & 0xC0 == 0xC0:
            if at + 1 >= len(message):
                raise FormatError("DNS name that is cut off")
            target = (size & 0x3F) << 8 | message[at + 1]
            if target >= limit:
                raise FormatError("DNS name that points forward")
            end = end or at + 2
            at = limit = target
            continue
        if size & 0xC0:
            raise FormatError("DNS label of an unknown kind")
        labels.append(message[at + 1 : at + 1 + size])
        length += size + 1
        if length > 254 or len(labels[-1]) < size:
            raise FormatError("DNS name that is too long or cut off")
        at += 1 + size
