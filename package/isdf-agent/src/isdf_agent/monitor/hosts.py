"""Follows the hosts that members of classes want: through the DNS answers that pass, and by asking itself.

Listening alone would miss a name whose answer a client has cached; asking alone would miss the addresses that clients
get from another resolver. Nothing is read and no rule exists while nobody wants a host.
"""

from __future__ import annotations

from isdf.errors import IsdfError
from isdf.log import Log
from isdf.loop import Loop, Timer
from isdf.protocol import Protocol

from .analyzers import dns
from .resolver import Addresses, Resolver
from .sources.dns_tap import DnsTap, Rules

log = Log(__name__)
SOONEST, LATEST, RETRY = 30.0, 3600.0, 30.0  # seconds until a name is asked for again


class Wishes(Protocol):
    """Who wants hosts (`isdf_agent.policy.policy.Policy`)."""

    def hosts_wanted(self) -> set[str]: ...

    def learn(self, host: str, address: str, ttl: float) -> None: ...


class HostFollower:
    """Call `update` whenever members may have come or gone."""

    def __init__(self, loop: Loop, wishes: Wishes, rules: Rules | None, resolver: Resolver) -> None:
        """Without `rules` (no kernel's dataplane) no answer can be heard; names are asked for all the same."""
        self._loop, self._wishes, self._resolver = loop, wishes, resolver
        self._tap = DnsTap(loop, rules, self._heard) if rules else None
        self._listens: bool | None = None  # None: what an agent before this one left is not known
        self._timers: dict[str, Timer] = {}

    def update(self) -> None:
        """Listen if anybody wants a host; ask for names that are new, forget those that nobody wants any more."""
        wanted = self._wishes.hosts_wanted()
        self._listen(bool(wanted))
        names = {name for name in wanted if not name.startswith("*.")}
        for name in set(self._timers) - names:
            self._timers.pop(name).cancel()
        for name in sorted(names - set(self._timers)):
            self._timers[name] = self._loop.after(0, lambda name=name: self._ask(name))

    def learned(self, name: str, addresses: Addresses) -> None:
        """Addresses of `name` that somebody asked for by `Resolver` are known too; it is asked again in time."""
        for address, ttl in addresses:
            self._learn(name, address, ttl)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._listen(False)

    def _listen(self, wanted: bool) -> None:
        if self._tap is None or wanted == self._listens:
            return
        self._listens = wanted
        try:
            self._tap.open() if wanted else self._tap.close()
        except IsdfError as error:
            log.error("%s; hosts are followed by asking alone", error)

    def _ask(self, name: str) -> None:
        self._resolver.resolve(name, lambda addresses, error: self._answered(name, addresses, error))

    def _answered(self, name: str, addresses: Addresses, error: IsdfError | None) -> None:
        if name not in self._timers:
            return
        self.learned(name, addresses)
        if error is not None:
            log.warning("%s; it keeps the addresses it has", error)
        # Before the TTL ends: the new addresses are known when clients begin to use them.
        again = min((ttl for _, ttl in addresses), default=RETRY) * 0.8
        again = min(max(again, SOONEST), LATEST)
        self._timers[name] = self._loop.after(again, lambda: self._ask(name))

    def _heard(self, answer: dns.Answer) -> None:
        for found in answer.addresses:
            for name in found.names:
                self._learn(name, found.address, found.ttl)

    def _learn(self, name: str, address: str, ttl: float) -> None:
        try:
            self._wishes.learn(name, address, ttl)
        except IsdfError as error:
            log.error("address %s of %s is not followed: %s", address, name, error)
