"""An address that clients connect to, which goes from one listener to the next without losing a connection.

What waits in a socket's queue, and what is in a listener's handshakes, ends with the listener. So the next one has a
socket of its own on the same address (SO_REUSEPORT), the kernel gives it all that is new
(SO_ATTACH_REUSEPORT_CBPF, socket(7)), and the one before has the time to finish what it has. The first socket does not
share: another server that was begun with the same address is told that it is in use.
"""

from __future__ import annotations

import ctypes
import re
import socket
import struct

from isdf.errors import InvalidError

_FORM = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})\Z")
_ATTACH = getattr(socket, "SO_ATTACH_REUSEPORT_CBPF", 51)
_RETURN = 0x06  # BPF_RET | BPF_K of linux/filter.h


class Port:
    """Listens at `text`, such as '[::]:8080', from the beginning; `InvalidError` where that cannot be had.

    Connections wait in the kernel, `backlog` of them, until a listener accepts them from `newest`.
    """

    def __init__(self, text: str, backlog: int) -> None:
        match = _FORM.match(text)
        if not match or int(match[3]) > 65535:  # getaddrinfo(3) takes its last 16 bits
            raise InvalidError(f"listen {text!r} is not of the form '[::]:8080' or '127.0.0.1:8080'")
        self._backlog = backlog
        self._sockets: list[socket.socket] = []  # in the order in which the kernel counts them
        try:
            found = socket.getaddrinfo(match[1] or match[2] or "::", int(match[3]), type=socket.SOCK_STREAM)[0]
            self._family, self._address = found[0], found[4]
            self.newest = self._open(shared=False)
        except (OSError, OverflowError) as error:
            raise InvalidError(f"listen {text!r} cannot be had: {getattr(error, 'strerror', error)}") from None

    def renew(self) -> socket.socket:
        """Another socket, `newest` from now on, which gets all that connects."""
        for sock in self._sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.newest = self._open(shared=True)
        self._steer()
        return self.newest

    def leave(self, sock: socket.socket) -> None:
        """Close a socket that is not the newest, after the listener that accepted from it."""
        sock.close()
        # As the kernel does: the last one takes the place of the one that goes.
        self._sockets[self._sockets.index(sock)] = self._sockets[-1]
        self._sockets.pop()
        self._steer()

    def close(self) -> None:
        """Let nobody in any more, as soon as the listeners have ended, too."""
        for sock in self._sockets:
            sock.close()

    def _steer(self) -> None:
        """Have the kernel give what connects to the newest: a program that returns its number."""
        if len(self._sockets) > 1:
            program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, self._sockets.index(self.newest)))
            self.newest.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HP", 1, ctypes.addressof(program)))

    def _open(self, shared: bool) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.bind(self._address)
            sock.listen(self._backlog)
        except OSError:
            sock.close()
            raise
        self._sockets.append(sock)
        return sock
