"""Packets that an nft rule logs to a group, read from a plain netlink socket.

A message: nlmsghdr (length 4, type 2, flags 2, sequence 4, port 4), nfgenmsg (family 1, version 1, group 2 in network
order), attributes (length 2, type 2, data, padded to 4). Types: subsystem 4 (ULOG) in the upper byte.

Reference: linux/netfilter/nfnetlink_log.h, libnetfilter_log; nft(8), LOG STATEMENT.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from isdf.errors import KernelError

NETLINK_NETFILTER = 12
_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1
_REQUEST, _ACK, _ERROR = 1, 4, 2
_CFG_CMD, _CFG_MODE, _CFG_TIMEOUT, _CFG_QTHRESH = 1, 2, 4, 5
_BIND, _COPY_PACKET = 1, 2
_PAYLOAD = 9
_NLMSG = struct.Struct("=IHHII")
_BUFFER = 1 << 18


class Nflog:
    """The packets of `group`, each cut at `snaplen` bytes, from the network header on. `KernelError` if refused."""

    def __init__(self, group: int, snaplen: int) -> None:
        self._group = group
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._configure(_CFG_CMD, struct.pack("=B", _BIND))
            self._configure(_CFG_MODE, struct.pack(">IBx", snaplen, _COPY_PACKET))
            # One packet a message and no waiting: an answer must be known before the connection that follows it.
            self._configure(_CFG_QTHRESH, struct.pack(">I", 1))
        except OSError as error:
            self._socket.close()
            raise KernelError(
                f"NFLOG group {group} cannot be read: {error.strerror}; is another program on it?"
            ) from None
        except KernelError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, most: int = 64) -> list[bytes]:
        """Up to `most` packets that are there; what the kernel had to drop is gone (DNS is asked again)."""
        packets: list[bytes] = []
        while len(packets) < most:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                raise
            packets += payloads(data)
        return packets

    def close(self) -> None:
        self._socket.close()

    def _configure(self, attribute: int, value: bytes) -> None:
        padded = value + bytes(-len(value) % 4)
        body = struct.pack(">BBH", socket.AF_UNSPEC, 0, self._group)
        body += struct.pack("=HH", 4 + len(value), attribute) + padded
        self._socket.send(_NLMSG.pack(_NLMSG.size + len(body), _CONFIG, _REQUEST | _ACK, 1, 0) + body)
        while True:
            for kind, answer in _messages(self._socket.recv(1 << 16)):
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", answer)[0]
                    if code:
                        raise KernelError(f"NFLOG group {self._group} cannot be read: {os.strerror(code)}")
                    return


def payloads(data: bytes) -> list[bytes]:
    """The packets in what one `recv` gave; malformed parts are left out."""
    found = []
    for kind, body in _messages(data):
        if kind != _PACKET:
            continue
        at = 4
        while at + 4 <= len(body):
            length, attribute = struct.unpack_from("=HH", body, at)
            if length < 4 or at + length > len(body):
                break
            if attribute & 0x3FFF == _PAYLOAD:
                found.append(body[at + 4 : at + length])
            at += (length + 3) & ~3
    return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _NLMSG.size <= len(data):
        length, kind, *_ = _NLMSG.unpack_from(data, at)
        if length < _NLMSG.size or at + length > len(data):
            return
        yield kind, data[at + _NLMSG.size : at + length]
        at += (length + 3) & ~3
