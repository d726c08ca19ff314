"""How much one device, or one address, may ask: token buckets in bounded memory, looked at before the database.

Who is refused (forged, unknown, not there) is counted for its prefix: the /64 of IPv6, that one customer has, and the
address of IPv4. What is genuine is counted for its device, and never for the address: thousands of routers may share
one behind a carrier's NAT, and a neighbour who forges must not lock them out. So a prefix that was refused too often
is not shut off; of what it sends, only what is known to be good without the database is looked at further: signed by
the key, or with the secret of the feed, that was good last for this device, as long as the process runs.

refused, of a prefix: 60 at once, then one a second. Some swapped boxes behind one address ask once in half an hour
    each; 10,000 addresses that scan cause 10,000 reads a second, which one core does.
requests, of a device: 30 at once, then one a second. A pull is 2 to 4 of them, and a router pulls for 3 pushes at once
    and for one more each 10 s.
files, of a device: 600 at once, then 5 a second. A pull fetches up to 256 packages, the index and its signature.
enrolments, of a prefix: 60 at once, then one a second, good or bad. A street of new boxes may be behind one address;
    each asks once, and again with pauses. A claim code has 80 bits: guessing is hopeless at any rate.
notices, of a device: 3 at once, then one an hour. A router that says with each report that it ran ahead of the
    database, and each time by another serial, writes so many lines into the audit log, which keeps them.
lines, of all: 1,000 at once, then 10 a second. What is refused is written into the log so often, and by its prefix's
    bucket: 170 MB a day at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from isdf.errors import LimitError

_LEAST_PAUSE = 10.0  # seconds that are told to who is refused: it is not alone


class TooManyError(LimitError):
    """The caller shall come again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("there were too many requests; try again later")
        self.retry_after = max(_LEAST_PAUSE, retry_after)


class Buckets:
    """A bucket for each key: `burst` at once, one more each `every` seconds. Threads share it.

    Of a key it keeps when its bucket is full again (the generic cell rate algorithm, ITU-T I.371). A key that was not
    seen for as long as an empty bucket takes to fill needs nothing kept; so two generations do, and of the older one
    nothing is lost when it goes. Over `most` keys in a generation the older goes early: that forgets in the callers'
    favour.
    """

    def __init__(
        self, burst: int, every: float, most: int = 50_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slack, self._every, self._most, self._clock = (burst - 1) * every, every, most, clock
        self._life = burst * every
        self._new: dict = {}
        self._old: dict = {}
        self._born = clock()
        self._lock = threading.Lock()

    def take(self, key) -> float:
        """Take one; 0.0, or the seconds until there is one."""
        with self._lock:
            now, full = self._look(key)
            wait = full - now - self._slack
            if wait <= 0:
                self._new[key] = full + self._every
                return 0.0
            return wait

    def wait(self, key) -> float:
        """What `take` would give, and nothing taken."""
        with self._lock:
            now, full = self._look(key)
            return max(0.0, full - now - self._slack)

    def _look(self, key) -> tuple[float, float]:
        now = self._clock()
        if now - self._born >= self._life or len(self._new) >= self._most:
            self._old, self._new, self._born = self._new, {}, now
        full = self._new.get(key)
        if full is None:
            full = self._old.get(key, 0.0)
        return now, max(now, full)


class Limits:
    """The buckets of a server; the table above has their numbers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused = Buckets(60, 1.0, clock=clock)
        self.requests = Buckets(30, 1.0, clock=clock)
        self.files = Buckets(600, 0.2, clock=clock)
        self.enrolments = Buckets(60, 1.0, clock=clock)
        self.notices = Buckets(3, 3600.0, clock=clock)
        self._lines = Buckets(1000, 0.1, clock=clock)

    def refused_again(self, address: str) -> bool:
        """Count that a request from `address` was refused; whether that is too common to be told."""
        return bool(self.refused.take(prefix(address)) or self._lines.take(None))


def look(buckets: Buckets, key) -> None:
    """Take none, or raise `TooManyError` where there is none."""
    if wait := buckets.wait(key):
        raise TooManyError(wait)


def take(buckets: Buckets, key) -> None:
    """Take one, or raise `TooManyError`."""
    if wait := buckets.take(key):
        raise TooManyError(wait)


@lru_cache(10_000)
def prefix(address: str) -> str:
    """What counts as one caller: an IPv4 address, the /64 of an IPv6 address."""
    try:
        if ip_address(address).version == 6:
            return str(ip_network((address, 64), strict=False))
    except ValueError:
        pass
    return address
