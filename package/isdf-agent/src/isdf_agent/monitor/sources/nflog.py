"""Copies of packets that a `log group` rule of nftables hands out, over a plain netlink socket.

Reference: linux/netfilter/nfnetlink_log.h; libnetfilter_log.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable

from isdf.errors import KernelError
from isdf.loop import Loop

log = logging.getLogger(__name__)

_NETLINK_NETFILTER = 12
_PACKET, _CONFIG = 4 << 8 | 0, 4 << 8 | 1  # NFNL_SUBSYS_ULOG and its message types
_ERROR = 2  # NLMSG_ERROR
_REQUEST_ACK = 5  # NLM_F_REQUEST | NLM_F_ACK
_CFG_CMD, _CFG_MODE, _CFG_THRESHOLD = 1, 2, 5
_BIND, _COPY_PACKET = 1, 2
_PAYLOAD = 9  # NFULA_PAYLOAD
_MAX_READ = 1 << 17
_ROUND = 64  # reads before the loop's other work has its turn

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTR = struct.Struct("=HH")


class Nflog:
    """Calls `packet(ip packet, cut after `snap` bytes)` for each copy of `group`. One reader for a group is allowed.

    `lost` counts the times the kernel dropped copies because nobody read them in time.
    """

    def __init__(self, loop: Loop, group: int, snap: int, packet: Callable[[memoryview], None]) -> None:
        self._loop, self._packet, self.lost = loop, packet, 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        except OSError as error:
            raise KernelError(
                f"the kernel has no netlink for netfilter ({error}); install kmod-nfnetlink-log"
            ) from None
        try:
            self._socket.bind((0, 0))
            self._configure(group, _CFG_CMD, struct.pack("B", _BIND))
            self._configure(group, _CFG_MODE, struct.pack(">IBx", snap, _COPY_PACKET))
            self._configure(group, _CFG_THRESHOLD, struct.pack(">I", 1))
        except OSError as error:
            self._socket.close()
            raise KernelError(f"log group {group} cannot be read: {error}") from None
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._readable)

    def close(self) -> None:
        self._loop.watch(self._socket.fileno(), None)
        self._socket.close()

    def _configure(self, group: int, kind: int, value: bytes) -> None:
        attribute = _ATTR.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)
        body = struct.pack(">BBH", socket.AF_UNSPEC, 0, group) + attribute
        self._socket.send(_HEADER.pack(16 + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        for kind_of, payload in messages(self._socket.recv(_MAX_READ)):
            if kind_of == _ERROR:
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    raise OSError(number, "the kernel refused the configuration")

    def _readable(self) -> None:
        for _ in range(_ROUND):
            try:
                data = self._socket.recv(_MAX_READ)
            except BlockingIOError:
                return
            except OSError as error:  # ENOBUFS: what came since was dropped
                self.lost += 1
                log.debug("log group: %s", error)
                continue
            for kind, payload in messages(data):
                if kind == _PACKET and (copied := attribute_of(payload[4:], _PAYLOAD)) is not None:
                    self._packet(copied)


def messages(data: bytes) -> list[tuple[int, memoryview]]:
    """Type and payload of each netlink message in `data`; what is cut off is left out."""
    view, found, position = memoryview(data), [], 0
    while position + _HEADER.size <= len(view):
        length, kind, *_ = _HEADER.unpack_from(view, position)
        if length < _HEADER.size or position + length > len(view):
            break
        found.append((kind, view[position + _HEADER.size : position + length]))
        position += (length + 3) & ~3
    return found


def attribute_of(view: memoryview, wanted: int) -> memoryview | None:
    """The value of the first attribute of type `wanted`."""
    position = 0
    while position + _ATTR.size <= len(view):
        length, kind = _ATTR.unpack_from(view, position)
        if length < _ATTR.size or position + length > len(view):
            return None
        if kind & 0x3FFF == wanted:
            return view[position + _ATTR.size : position + length]
        position += (length + 3) & ~3
    return None


def udp_payload(packet: memoryview) -> memoryview | None:
    """What a UDP datagram carries, of an IPv4 or IPv6 packet; None for other packets, fragments and extension headers.

    Reference: RFC 791, RFC 8200, RFC 768.
    """
    if len(packet) < 20:
        return None
    version = packet[0] >> 4
    if version == 4:
        start = (packet[0] & 0xF) * 4
        fragment = (packet[6] << 8 | packet[7]) & 0x3FFF
        if start < 20 or packet[9] != socket.IPPROTO_UDP or fragment:
            return None
    elif version == 6:
        start = 40
        if packet[6] != socket.IPPROTO_UDP:
            return None
    else:
        return None
    return packet[start + 8 :] if len(packet) >= start + 8 else None
