"""Follows the hosts that members of classes want: through the DNS answers that pass, and by asking itself.

Listening alone would miss a name whose answer a client has cached; asking alone would miss the addresses that clients
get from another resolver. Nothing is read and no rule exists while nobody wants a host. While no name server answers,
one name is asked for now and then, and as soon as it is answered, all of them are.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.errors import IsdfError
from isdf.log import Log
from isdf.loop import Loop, Timer
from isdf.protocol import Protocol

from .analyzers import dns
from .resolver import Addresses, Resolver, SilenceError
from .sources.dns_tap import DnsTap, Rules

log = Log(__name__)
SOONEST, LATEST, RETRY = 30.0, 3600.0, 30.0  # seconds until a name is asked for again
PROBE = 5.0  # seconds until one is, while no server answers
PATIENCE = 1.5  # seconds that somebody waits for the addresses of a new name: a second server may answer

Done = Callable[[IsdfError | None], None]


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
        self._timers: dict[str, Timer | None] = {}  # of each name that is followed, until it is asked for again
        self._asking: set[str] = set()
        self._unanswered: dict[str, None] = {}  # names whose last question no server has answered, in their order
        self._silent = False  # no server answers, as far as is known
        self._probe: Timer | None = None
        self._waiting: dict[str, list[Done]] = {}
        self.on_fault: Callable[[], None] = lambda: None  # the kernel refused to let us listen

    def update(self) -> None:
        """Listen if anybody wants a host; ask for names that are new, forget those that nobody wants any more."""
        wanted = self._wishes.hosts_wanted()
        self._listen(bool(wanted))
        names = {name for name in wanted if not name.startswith("*.")}
        for name in set(self._timers) - names:
            self._unanswered.pop(name, None)
            if timer := self._timers.pop(name):
                timer.cancel()
        for name in sorted(names - set(self._timers)):
            self._timers[name] = self._loop.after(0, lambda name=name: self._ask(name))

    def resolve(self, name: str, done: Done) -> None:
        """Ask for a new name. `done(None)` when its addresses are known, or `done(error)`: `HostNotFoundError`, or
        `UnavailableError`, at the latest after `PATIENCE` seconds, and at once where servers are known to be silent.
        Whatever it is told, the name is followed as long as it is wanted."""
        self._timers.setdefault(name, None)
        self._ask(name)
        if self._silent:
            done(_silence(name))
            return
        self._waiting.setdefault(name, []).append(done)
        self._loop.after(PATIENCE, lambda: self._impatient(name, done))

    def repair(self) -> None:
        """Listen again where somebody took our rules away; `KernelError`."""
        if self._tap and self._listens:
            self._tap.open()

    def _listen(self, wanted: bool) -> None:
        if self._tap is None or wanted == self._listens:
            return
        self._listens = wanted
        try:
            self._tap.open() if wanted else self._tap.close()
        except IsdfError as error:
            log.error("%s; hosts are followed by asking alone", error)
            self.on_fault()

    def _ask(self, name: str) -> None:
        if name not in self._asking:
            if timer := self._timers.get(name):
                timer.cancel()
            self._asking.add(name)
            self._resolver.resolve(name, lambda addresses, error: self._answered(name, addresses, error))

    def _answered(self, name: str, addresses: Addresses, error: IsdfError | None) -> None:
        self._asking.discard(name)
        for address, ttl in addresses:
            self._learn(name, address, ttl)
        if error is not None:
            log.warning("%s; it keeps the addresses it has", error)
        for done in self._waiting.pop(name, ()):
            done(error)
        if isinstance(error, SilenceError):
            self._silent = True
            if name in self._timers:
                self._unanswered[name] = None
                self._expect_answers()
            return
        self._unanswered.pop(name, None)
        self._answers_again()
        if name in self._timers:
            # Before the TTL ends: the new addresses are known when clients begin to use them.
            again = min((ttl for _, ttl in addresses), default=RETRY) * 0.8
            again = min(max(again, SOONEST), LATEST)
            self._timers[name] = self._loop.after(again, lambda: self._ask(name))

    def _impatient(self, name: str, done: Done) -> None:
        if done in self._waiting.get(name, ()):
            self._silent = True
            self._waiting[name].remove(done)
            done(_silence(name))

    def _expect_answers(self) -> None:
        """One name is asked for again and again, for all of them."""
        if self._probe is None and self._unanswered:
            self._probe = self._loop.after(PROBE, self._probed)

    def _probed(self) -> None:
        self._probe = None
        if self._unanswered:
            self._ask(next(iter(self._unanswered)))

    def _answers_again(self) -> None:
        self._silent = False
        waiting, self._unanswered = self._unanswered, {}
        for name in waiting:
            self._ask(name)

    def _heard(self, answer: dns.Answer) -> None:
        for found in answer.addresses:
            for name in found.names:
                self._learn(name, found.address, found.ttl)

    def _learn(self, name: str, address: str, ttl: float) -> None:
        try:
            self._wishes.learn(name, address, ttl)
        except IsdfError as error:
            log.error("address %s of %s is not followed: %s", address, name, error)


def _silence(name: str) -> SilenceError:
    return SilenceError(f"no name server answers for {name} just now; it is followed as soon as one does")
