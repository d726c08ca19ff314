"""Names that classes follow: learned of the DNS answers that pass, and asked for at the start and before they age.

Nothing is looked at while nobody follows a name: the kernel copies answers, and we read them, only then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from isdf.errors import FormatError, IsdfError
from isdf.loop import Loop, Timer

from .analyzers import dns
from .resolver import Resolver
from .sources.nflog import Nflog, udp_payload

log = logging.getLogger(__name__)

SNAP = 1500  # bytes of an answer that are looked at


class Followers(Protocol):
    """Who follows names; `policy` does."""

    def learn(self, host: str, address: str, ttl: float) -> None: ...

    def hosts_wanted(self) -> set[str]: ...


class Names:
    """`update()` it when what is followed has changed. `tap` switches the kernel's copies of answers on and off."""

    REFRESH = 600.0  # seconds between two questions for a name: half of the least time that an address is kept, or less

    def __init__(
        self, loop: Loop, followers: Followers, resolver: Resolver, *, group: int, tap: Callable[[bool], None] | None
    ) -> None:
        self._loop, self._followers, self._resolver = loop, followers, resolver
        self._group, self._tap = group, tap
        self._reader: Nflog | None = None
        self._refresh: Timer | None = None

    def update(self) -> None:
        """Look at answers exactly while a name is followed."""
        wanted = bool(self._followers.hosts_wanted())
        if wanted and self._refresh is None:
            self._refresh = self._loop.after(self.REFRESH, self._ask_again)
        elif not wanted and self._refresh is not None:
            self._refresh.cancel()
            self._refresh = None
        if self._tap is None or wanted == (self._reader is not None):
            return
        if wanted:
            self._reader = Nflog(self._loop, self._group, SNAP, self._answer)
            self._tap(True)
        else:
            self._tap(False)
            self._reader.close()
            self._reader = None

    def resolve(self, host: str, done: Callable[[IsdfError | None], None]) -> None:
        """Ask for `host` now; the addresses are learned before `done` is called."""

        def answered(error: IsdfError | None, answers: list[tuple[str, str, int]]) -> None:
            for name, address, ttl in answers:
                self._followers.learn(name, address, ttl)
            done(error)

        self._resolver.resolve(host, answered)

    def _ask_again(self) -> None:
        for host in sorted(self._followers.hosts_wanted()):
            if not host.startswith("*."):
                self.resolve(host, lambda error, host=host: error and log.warning("%s: %s", host, error))
        self._refresh = self._loop.after(self.REFRESH, self._ask_again)

    def _answer(self, packet: memoryview) -> None:
        payload = udp_payload(packet)
        if payload is None:
            return
        try:
            message = dns.parse(bytes(payload))
        except FormatError:
            return
        for name, address, ttl in dns.addresses(message):
            self._followers.learn(name, address, ttl)
