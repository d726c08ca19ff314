"""Asks the name servers of resolv.conf for the addresses of a name, without blocking: one socket, the loop's timers.

The answer itself is not used: it passes the kernel as any other, and is learned there (`names`). Asked are A and AAAA;
the name counts as found when one of them gives an address.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from isdf.errors import FormatError, HostNotFoundError, IsdfError, UnavailableError
from isdf.loop import Loop

from .analyzers import dns

log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
Answers = list[tuple[str, str, int]]  # name, address, TTL in seconds
Done = Callable[[IsdfError | None, Answers], None]


class Resolver:
    """`resolve(name, done)` calls `done(error, answers)` once: `HostNotFoundError`, `UnavailableError` or None."""

    TRIES = 0.4, 0.8, 1.6  # seconds to wait for each try; each goes to all name servers

    def __init__(self, loop: Loop, resolv_conf: Path = RESOLV_CONF, port: int = dns.PORT) -> None:
        self._loop, self._resolv_conf, self._port = loop, resolv_conf, port

    def resolve(self, name: str, done: Done) -> None:
        _Lookup(self._loop, name, self._servers(), self.TRIES, done)

    def _servers(self) -> list[tuple[str, int]]:
        try:
            lines = self._resolv_conf.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        words = [line.split() for line in lines]
        return [(w[1], self._port) for w in words if len(w) > 1 and w[0] == "nameserver"][:3]


class _Lookup:
    """One name: a socket for each family of name server, with a source port of its own, and random identifiers."""

    def __init__(
        self, loop: Loop, name: str, servers: list[tuple[str, int]], tries: tuple[float, ...], done: Done
    ) -> None:
        self._loop, self._name, self._servers, self._done = loop, name, servers, done
        self._tries = list(tries)
        self._asked = {kind: secrets.randbelow(1 << 16) for kind in (dns.A, dns.AAAA)}
        self._answers: Answers = []
        self._missing: set[int] = set()  # types for which the name does not exist
        self._sockets: dict[int, socket.socket] = {}
        self._timer = loop.after(0, self._try)

    def _try(self) -> None:
        if not self._tries or not self._servers:
            why = "no name server answers for it" if self._servers else "there is no name server in resolv.conf"
            self._end(None if self._answers else UnavailableError(f"host {self._name} is not known yet: {why}"))
            return
        for address in self._servers:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            for kind, identifier in self._asked.items():
                try:
                    self._socket(family).sendto(dns.question(identifier, self._name, kind), address)
                except OSError as error:
                    log.debug("asking %s: %s", address[0], error)
        self._timer = self._loop.after(self._tries.pop(0), self._try)

    def _socket(self, family: int) -> socket.socket:
        if family not in self._sockets:
            made = self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            made.setblocking(False)
            self._loop.watch(made.fileno(), lambda: self._readable(made))
        return self._sockets[family]

    def _readable(self, readable: socket.socket) -> None:
        try:
            data, sender = readable.recvfrom(4096)
        except OSError:  # for one, a name server whose host refuses the port
            return
        if sender[:2] not in self._servers:
            return
        try:
            message = dns.parse(data)
        except FormatError:
            return
        fits = message.response and message.name == self._name and self._asked.get(message.type) == message.id
        if not fits or message.rcode not in (dns.NO_ERROR, dns.NX_DOMAIN):
            return
        del self._asked[message.type]
        self._answers += dns.addresses(message)
        if message.rcode == dns.NX_DOMAIN:
            self._missing.add(message.type)
        if self._asked:
            return
        if self._answers:
            self._end(None)
        elif self._missing:
            self._end(HostNotFoundError(f"host {self._name} does not exist; look at its spelling"))
        else:
            self._end(HostNotFoundError(f"host {self._name} has no address"))

    def _end(self, error: IsdfError | None) -> None:
        self._timer.cancel()
        for opened in self._sockets.values():
            self._loop.watch(opened.fileno(), None)
            opened.close()
        self._done(error, self._answers)
