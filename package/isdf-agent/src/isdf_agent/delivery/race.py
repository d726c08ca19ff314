"""A TCP connection to a host with several addresses over a line that may lose packets: attempts race.

The kernel repeats a lost first packet after a second, and an address that does not answer is given up after minutes. So
a further attempt begins every quarter of a second, to the next address and then to the same ones again; the first that
is there wins, and the others are closed.

Reference: RFC 8305 ("Happy Eyeballs"), section 5: the delay between attempts.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator

DELAY = 0.25  # seconds
ROUNDS = 3  # attempts for each address


def connect(host: str, port: int, known: str | None, timeout: float) -> socket.socket:
    """A connection to `host`, with `timeout` seconds for it and, later, for each piece of what it brings.

    `known` is the address that served last: it is tried first, before a name server is asked. `OSError` as of
    `socket.create_connection`.
    """
    until = time.monotonic() + timeout
    racing: dict[int, socket.socket] = {}
    failure: OSError = TimeoutError("timed out")
    starts = _addresses(host, port, known)
    try:
        while time.monotonic() < until:
            try:
                start = next(starts, None)
            except OSError as error:  # no name server answers; the address that is known still may
                start, failure = None, error
            if start:
                try:
                    begun = _begin(*start)
                except OSError as error:  # this machine has no way there
                    failure = error
                    continue
                racing[begun.fileno()] = begun
            elif not racing:
                raise failure
            left = until - time.monotonic()  # a name server may have taken its time
            won = _first(racing, min(DELAY, left) if start else left)
            if isinstance(won, socket.socket):
                won.settimeout(timeout)
                won.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return won
            failure = won or failure
        raise TimeoutError("timed out")
    finally:
        for loser in racing.values():
            loser.close()


def _addresses(host: str, port: int, known: str | None) -> Iterator[tuple[int, tuple]]:
    if known:
        with contextlib.suppress(OSError):
            yield from _looked_up(known, port)
    found = _looked_up(host, port)
    for _ in range(ROUNDS):
        yield from found


def _looked_up(host: str, port: int) -> list[tuple[int, tuple]]:
    # As bytes: for text Python takes the codec idna, a megabyte that is in another package. A configured name is ASCII.
    found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _begin(family: int, address: tuple) -> socket.socket:
    begun = socket.socket(family, socket.SOCK_STREAM)
    begun.setblocking(False)
    try:
        begun.connect(address)
    except BlockingIOError:
        pass
    except OSError:
        begun.close()
        raise
    return begun


def _first(racing: dict[int, socket.socket], seconds: float) -> socket.socket | OSError | None:
    """The first of `racing` that is connected within `seconds`, or why the last one that failed did; those go."""
    poll = select.poll()
    for number in racing:
        poll.register(number, select.POLLOUT)
    failure = None
    for number, _ in poll.poll(max(0, int(seconds * 1000))):
        error = racing[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error:
            return racing.pop(number)
        racing.pop(number).close()
        failure = OSError(error, os.strerror(error))
    return failure
