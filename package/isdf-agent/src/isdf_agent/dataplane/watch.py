"""Tells when somebody else changed what is ours in the kernel: links, queues, nft tables. By events, not by polling.

The kernel tells everybody of everything, our own changes too. A message about queues names the netlink port of who
asked for the change, and the link worker tells us its own. A transaction of nft names nobody: after each of ours, what
has come up to then is read, and one transaction of it was ours. Links are ours by their names; what counts is whether
they are, after all messages that are there, still those that the queues were made on.

Messages that were lost because the buffer was full may have told of a change, so they count as one.

Reference: rtnetlink(7), linux/rtnetlink.h, linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator

NETLINK_ROUTE, NETLINK_NETFILTER, SOL_NETLINK = 0, 12, 270
_ADD_MEMBERSHIP = 1
_LINKS, _QUEUES, _TABLES = 1, 4, 7  # RTNLGRP_LINK, RTNLGRP_TC, NFNLGRP_NFTABLES
_LINK_CHANGES = NEWLINK, DELLINK = 16, 17
_QDISCS_AND_CLASSES, _FILTERS = range(36, 43), range(44, 47)
_NEWGEN = 10 << 8 | 15  # the end of a transaction of nft
_IFNAME, _UP = 3, 1
_NLMSG = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_TC = struct.Struct("=BxxxiIII")  # struct tcmsg
_ATTRIBUTE = struct.Struct("=HH")


class Watch:
    """Calls `changed()` after a foreign change to the devices `names` or their queues, to filters of preference
    `preference` on them, to the device `ifb` (which must be up, too), or to the nft tables `tables`."""

    def __init__(
        self, names: tuple[str, ...], ifb: str, preference: int, tables: tuple[str, ...], changed: Callable[[], None]
    ) -> None:
        self._names, self._ifb, self._preference = {*names, ifb}, ifb, preference
        self._tables = {table.split()[1].encode() for table in tables}
        self._changed = changed
        self._ports: set[int] = set()
        self._devices: dict[str, int] = {}
        self._touched = False  # whether the transaction of nft that is being told touches a table of ours
        self._route = _listen(NETLINK_ROUTE, _LINKS, _QUEUES)
        self._nft = _listen(NETLINK_NETFILTER, _TABLES)

    def attach(self, loop) -> None:
        """From now on served by the loop."""
        loop.watch(self._route.fileno(), self.read_route)
        loop.watch(self._nft.fileno(), self.read_nft)

    def learn(self) -> None:
        """The devices of now are those that the queues are about to be made on."""
        self._devices = {name: index for name in self._names if (index := _index(name))}

    def trust(self, port: int) -> None:
        """What is asked for from this netlink port is our own doing."""
        self._ports.add(port)

    def ours(self) -> None:
        """A transaction of nft was carried out by ourselves, just now."""
        # One of ours may be enough to fill the buffer; then there need not be anybody else.
        if self._transactions(lost_one=0) > 1:
            self._changed()

    def read_nft(self) -> None:
        if self._transactions(lost_one=1):
            self._changed()

    def read_route(self) -> None:
        foreign, links = False, {}
        for data in _received(self._route):
            foreign |= data is None
            for kind, port, body in _messages(data or b""):
                if kind in _LINK_CHANGES:
                    _, _, index, flags, _ = _LINK.unpack_from(body)
                    links[index] = (_name(body), flags) if kind == NEWLINK else ("", 0)
                elif port not in self._ports:
                    foreign |= self._is_ours(kind, body)
        if foreign or any(self._is_another(index, *link) for index, link in links.items()):
            self._changed()

    def _transactions(self, lost_one: int) -> int:
        """How many transactions that touch a table of ours have ended since the last call."""
        found = 0
        for data in _received(self._nft):
            found += lost_one if data is None else 0
            for kind, _, body in _messages(data or b""):
                if kind == _NEWGEN:
                    found += self._touched
                    self._touched = False
                else:
                    self._touched |= _first_text(body) in self._tables
        return found

    def _is_ours(self, kind: int, body: bytes) -> bool:
        """Whether a message of traffic control is about something of ours."""
        if kind not in _QDISCS_AND_CLASSES and kind not in _FILTERS:
            return False
        _, index, _, _, info = _TC.unpack_from(body)
        # A clsact is shared with others, who have filters of their own; preference 0 is all that there are.
        return index in self._devices.values() and (kind not in _FILTERS or info >> 16 in (0, self._preference))

    def _is_another(self, index: int, name: str, flags: int) -> bool:
        """Whether the link `index`, which has this name and these flags now, is one of ours that is not as it was."""
        if name not in self._names:
            return index in self._devices.values()
        return self._devices.get(name) != index or (name == self._ifb and not flags & _UP)


def _listen(protocol: int, *groups: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    sock.bind((0, 0))
    for group in groups:
        sock.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return sock


def _received(sock: socket.socket) -> Iterator[bytes | None]:
    """All that is there; None where messages were lost."""
    while True:
        try:
            yield sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield None


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, port of who asked for it, and what follows the header, of each message."""
    at = 0
    while at + _NLMSG.size <= len(data):
        length, kind, _, _, port = _NLMSG.unpack_from(data, at)
        if length < _NLMSG.size or at + length > len(data):
            return
        yield kind, port, data[at + _NLMSG.size : at + length]
        at += (length + 3) & ~3


def _first_text(body: bytes) -> bytes:
    """The first attribute after the nfgenmsg of a message of nft: the name of the table."""
    if len(body) < 8:
        return b""
    length, _ = _ATTRIBUTE.unpack_from(body, 4)
    return body[8 : 4 + length].rstrip(b"\0")


def _name(body: bytes) -> str:
    at = _LINK.size
    while at + _ATTRIBUTE.size <= len(body):
        length, attribute = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        if attribute == _IFNAME:
            return body[at + 4 : at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
