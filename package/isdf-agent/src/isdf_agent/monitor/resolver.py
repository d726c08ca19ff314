"""Names resolved without blocking: A and AAAA asked of the name servers of resolv.conf, by UDP.

The resolver of libc would block the agent's only thread, or need a second one. Reference: RFC 1035 section 7, RFC 5452
(random ids and ports), resolv.conf(5).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from isdf.errors import FormatError, HostNotFoundError, IsdfError, UnavailableError
from isdf.log import Log
from isdf.model import parse_host
from isdf.path import Path

from .analyzers import dns

log = Log(__name__)
RESOLV_CONF = Path("/etc/resolv.conf")
TIMEOUTS = (1.0, 2.0)  # seconds to wait for each server, in the first and the second round
MAX_SERVERS = 3

Addresses = list[tuple[str, float]]  # address and TTL in seconds
Done = Callable[[Addresses, IsdfError | None], None]


class SilenceError(UnavailableError):
    """No name server answers at all."""


class Resolver:
    """`resolve(name, done)`: `done(addresses, None)`, or `done([], error)` with `HostNotFoundError` or
    `UnavailableError`; never before `resolve` has returned."""

    def __init__(self, loop, resolv_conf: Path = RESOLV_CONF, port: int = 53) -> None:
        self._loop, self._resolv_conf, self._port = loop, resolv_conf, port

    def resolve(self, name: str, done: Done) -> None:
        """Ask for both families; one that answers is enough."""
        name = parse_host(name)
        if name.startswith("*."):
            raise HostNotFoundError(f"{name} is a pattern; it has no addresses of its own")
        results: dict[int, object] = {}

        def one(kind: int, result) -> None:
            results[kind] = result
            if len(results) == 2:
                done(*_together(name, results))

        servers = [(server, wait) for wait in TIMEOUTS for server in name_servers(self._resolv_conf)]
        for kind in (dns.A, dns.AAAA):
            _Question(self._loop, name, kind, servers, self._port, lambda r, kind=kind: one(kind, r))


class _Question:
    """One type of record of one name, asked of one server after the other. Ends with `done(addresses | error)`."""

    def __init__(self, loop, name: str, kind: int, tries: list, port: int, done: Callable) -> None:
        self._loop, self._name, self._kind, self._port, self._done = loop, name, kind, port, done
        self._tries = iter(tries)
        self._answered = False
        self._socket: socket.socket | None = None
        self._timer = loop.after(0, self._ask)

    def _ask(self) -> None:
        self._hang_up()
        server, wait = next(self._tries, (None, 0))
        if server is None:
            if self._answered:
                self._done(_untold(self._name))
            else:
                self._done(SilenceError(f"no name server answers for {self._name}"))
            return
        self._timer = self._loop.after(wait, self._ask)
        self._id = int.from_bytes(os.urandom(2), "big")
        try:
            # As bytes: for text Python takes the codec idna, a megabyte that is in another package.
            family, kind, _, _, address = socket.getaddrinfo(
                server.encode(), self._port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )[0]
            # A socket for each question: the kernel gives it a random port, and lets only this server answer to it.
            self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._socket.connect(address)
            self._socket.send(dns.query(self._id, self._name, self._kind))
        except OSError:
            self._next()  # no route to this one
            return
        self._loop.watch(self._socket.fileno(), self._readable)

    def _next(self) -> None:
        """The next server, in the next round of the loop."""
        self._timer.cancel()
        self._timer = self._loop.after(0, self._ask)

    def _readable(self) -> None:
        try:
            answer = dns.parse(self._socket.recv(4096))
        except (OSError, FormatError) as error:
            if isinstance(error, OSError):  # nobody listens there
                self._next()
            return
        if (answer.id, answer.name, answer.kind) != (self._id, self._name, self._kind):
            return  # not for this question; the right answer may still come
        self._answered = True
        if answer.rcode not in (0, dns.NXDOMAIN) or (answer.truncated and not answer.addresses):
            self._next()
            return
        self._timer.cancel()
        self._hang_up()
        if answer.rcode == dns.NXDOMAIN:
            self._done(HostNotFoundError(f"the name servers know no host {self._name}"))
        else:
            self._done([(a.address, float(a.ttl)) for a in answer.addresses])

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), None)
            self._socket.close()
            self._socket = None


def name_servers(resolv_conf: Path) -> list[str]:
    """The first servers of resolv.conf; the local one where it names none."""
    try:
        lines = resolv_conf.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    return [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"][:MAX_SERVERS] or ["127.0.0.1"]


def _together(name: str, results: dict[int, object]) -> tuple[Addresses, IsdfError | None]:
    """What both families gave: any address is a success, and that the name does not exist is an answer."""
    addresses = [pair for result in results.values() if isinstance(result, list) for pair in result]
    if addresses:
        return addresses, None
    errors = [result for result in results.values() if isinstance(result, IsdfError)]
    for error in errors:
        if isinstance(error, HostNotFoundError):
            return [], error
    if not errors:
        return [], HostNotFoundError(f"host {name} has no address")
    silent = len(errors) == len(results) and all(isinstance(error, SilenceError) for error in errors)
    return [], errors[0] if silent else _untold(name)


def _untold(name: str) -> UnavailableError:
    return UnavailableError(f"the name servers cannot tell the address of {name} just now")
