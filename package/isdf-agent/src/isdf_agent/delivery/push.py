"""The push: an authentic datagram on UDP port 9009 makes the router pull now. Nothing is ever answered.

Anybody can send to the port, so a datagram costs little before it is known to be authentic, and a flood is read at a
bounded pace: what does not fit into the socket's buffer meanwhile is lost, and the manager repeats a push anyway.
A push is verified in `isdf.wire.read_push` (length, seal, version), and here against replay (`PushSocket._take`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from isdf.log import Log
from isdf.loop import Loop
from isdf.wire import PUSH_SIZE, derive, read_push

from .clock import Clock

log = Log(__name__)


class PushSocket:
    """Calls `pushed()` for each authentic datagram whose sequence is above all that came before and above the floor.

    A sequence is Unix milliseconds, or one more than the last. One that is further ahead than `AHEAD` seconds (`UNSET`
    where the clock is not set) is none of the manager's: it would make this router deaf for all that he sends.
    """

    AHEAD, UNSET = 3600.0, 366 * 86400.0
    REPEATS = 1_000_000  # above the floor, which may be ahead itself

    ROUND = 64  # datagrams read at once; then others have their turn for
    PAUSE = 0.05  # seconds
    QUIET = 3600.0  # seconds between lines of the log about what is no push: a flood must not fill that, too

    def __init__(
        self, loop: Loop, device_key: bytes, port: int, pushed: Callable[[], None], clock: Clock | None = None
    ) -> None:
        self._loop, self._pushed, self._clock = loop, pushed, clock or Clock()
        self._key = derive(device_key, "push")
        self._floor = self._heard = 0
        self._foreign, self._quiet = 0, None  # how many were no push since the last line; a timer until the next
        self._socket = _bind(port)
        self._watch()

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    def set_floor(self, floor: int) -> None:
        """Sequences up to `floor` were used before; the newest assignment says so."""
        self._floor = floor

    def close(self) -> None:
        if self._quiet:
            self._quiet.cancel()
        self._loop.watch(self._socket.fileno(), None)
        self._socket.close()

    def _watch(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.watch(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        fresh = False
        try:
            for _ in range(self.ROUND):
                fresh |= self._take(self._socket.recv(PUSH_SIZE + 1))
            self._loop.watch(self._socket.fileno(), None)
            self._loop.after(self.PAUSE, self._watch)
        except BlockingIOError:
            pass
        if fresh:
            self._pushed()

    def _take(self, datagram: bytes) -> bool:
        sequence = read_push(self._key, datagram)
        if sequence is not None and max(self._floor, self._heard) < sequence <= self._latest():
            self._heard = sequence
            return True
        if sequence is None or sequence != self._heard:  # which the manager repeats until it sees the pull
            self._foreign += 1
            if self._quiet is None:
                self._tell()
        return False

    def _latest(self) -> float:
        ahead = self.AHEAD if self._clock.is_set else self.UNSET
        return max(self._floor + self.REPEATS, (self._clock.now() + ahead) * 1000)

    def _tell(self) -> None:
        self._quiet = None
        if self._foreign:
            log.warning("datagrams on UDP port %d that are no push, or none that is new: %d", self.port, self._foreign)
            self._foreign = 0
            self._quiet = self._loop.after(self.QUIET, self._tell)


def _bind(port: int) -> socket.socket:
    """A non-blocking socket for IPv6 and IPv4; for IPv4 alone where the kernel has no IPv6."""
    try:
        bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = "::"
    except OSError:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = "0.0.0.0"
    bound.setblocking(False)
    try:
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


class Bucket:
    """Pulls by push: `size` at once, and one more each `period` seconds."""

    def __init__(self, size: int = 3, period: float = 10.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._size, self._period, self._monotonic = size, period, monotonic
        self._tokens, self._at = float(size), monotonic()

    def take(self) -> bool:
        """Whether there is a token; it is taken."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self) -> float:
        """Seconds until there is a token."""
        self._fill()
        return max(0.0, (1 - self._tokens) * self._period)

    def _fill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) / self._period)
        self._at = now
