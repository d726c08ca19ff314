"""Starts and new configurations that are under way, and what came of them: ready, failed, and whether it stays up.

A version that is ready has to show that it stays up: what was ready before it is kept for `STAYS` seconds, and returns
if the new one is given up meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from isdf.formats.assignment import Entry
from isdf.log import Log

from .clock import Clock
from .journal import State, identity
from .ports import Services
from .retries import Retries

log = Log(__name__)

Words = tuple[int | None, str | None]
"""The exit status of a process that failed, and what it printed last."""


class Attempt:
    """A start or a new configuration that is under way; `mark` notes the steps of what brought it."""

    __slots__ = ("entry", "mark")

    def __init__(self, entry: Entry, mark: Callable[[str], None]) -> None:
        self.entry, self.mark = entry, mark


class Trials:
    """`running` and `before` of `state` follow what happens; `on_end(name, error)` is called when an attempt ended,
    `on_words()` when it is known what a failed service said. `assigned` are the entries of the assignment by name."""

    STAYS = 600.0  # seconds
    WORDS = 32  # services whose words are kept, the last to fail: 2 kB of memory each

    def __init__(self, services: Services, clock: Clock, state: State) -> None:
        self._services, self._clock, self._state = services, clock, state
        self.retries = Retries(clock, state.failed)
        self.assigned: dict[str, Entry] = {}
        self.under_way: dict[str, Attempt] = {}
        self.hanging: set[str] = set()  # whose start failed, and whose process may still be there
        self.words: dict[str, Words] = {}
        self._up_since = dict.fromkeys(state.before, clock.monotonic())
        self.on_end: Callable[[str, str | None], None] = lambda name, error: None
        self.on_words: Callable[[], None] = lambda: None

    def follow(self, entries: Iterable[Entry]) -> None:
        """These are assigned from now on."""
        self.assigned = {entry.name: entry for entry in entries}
        for name in (self._state.failed.keys() | self.words.keys()) - self.assigned.keys():
            self.retries.forget(name)
            self.words.pop(name, None)

    def begin(self, entry: Entry, step: Callable[[Callable], None], mark: Callable[[str], None]) -> None:
        """Begin `step`, a start or a new configuration; whatever was under way for this service does not count."""
        attempt = self.under_way[entry.name] = Attempt(entry, mark)
        self.hanging.discard(entry.name)
        mark("started")

        def ended(error: str | None) -> None:
            if self.under_way.get(entry.name) is attempt:
                del self.under_way[entry.name]
                self._ended(attempt, error)

        step(ended)

    def drop(self, names: Iterable[str]) -> None:
        """These services end; what comes of what is under way does not matter."""
        for name in names:
            self.under_way.pop(name, None)
            self.hanging.discard(name)

    def choose(self, entry: Entry, due: set[str], is_here: Callable[[Entry], bool]) -> Entry | None:
        """What is to run for `entry`: itself, or what was ready before; None: nothing for now.

        `due` are the services whose failed entry is to be tried, `is_here` tells whether a package is there.
        """
        attempt = self.under_way.get(entry.name)
        for candidate in (entry, self._state.running.get(entry.name), self._state.before.get(entry.name)):
            if candidate and is_here(candidate):
                tried = attempt is not None and identity(attempt.entry) == identity(candidate)
                if tried or self.retries.may_try(candidate, due):
                    return candidate
        return None

    def fail(self, entry: Entry, reason: str, *, was_ready: bool = False, ran: bool = True) -> None:
        """`entry` failed, after it `was_ready` for a while or before; if it `ran`, its words are asked for."""
        name = entry.name
        log.error("service %s %s: %s", name, entry.version, reason)
        if ran:  # otherwise what was ready before is still up
            self._up_since.pop(name, None)
        assigned = self.assigned.get(name)
        if assigned and self.retries.is_of(assigned) and identity(assigned) != identity(entry):
            self.retries.note_back(entry, reason)
            return
        self.retries.note(entry, reason, was_ready=was_ready)
        self.words.pop(name, None)
        if ran:
            self._services.last_words(name, lambda words: self._heard(name, words))

    def gave_up(self, name: str, reason: str) -> None:
        """A service that was ready ended for good."""
        if entry := self._state.running.get(name) or self.assigned.get(name):
            self.fail(entry, reason, was_ready=name in self._state.before)

    def prove(self) -> None:
        """What has been up for long enough needs nothing to return to."""
        for name in [n for n in self._state.before if self._stays_in(n) == 0.0]:
            del self._state.before[name]
            self.retries.stays(name)

    def wait(self) -> float | None:
        """Seconds until `prove` has something to do."""
        return min((wait for n in self._state.before if (wait := self._stays_in(n)) is not None), default=None)

    def _stays_in(self, name: str) -> float | None:
        since = self._up_since.get(name)
        if since is None or name in self.under_way:
            return None
        return max(0.0, since + self.STAYS - self._clock.monotonic())

    def _ended(self, attempt: Attempt, error: str | None) -> None:
        if error is None:
            attempt.mark("ready")
            self._came_up(attempt.entry)
        else:
            if self._services.listing().get(attempt.entry.name, {}).get("state") != "running":
                self.hanging.add(attempt.entry.name)
            self.fail(attempt.entry, error)
        self.on_end(attempt.entry.name, error)

    def _came_up(self, entry: Entry) -> None:
        name, state = entry.name, self._state
        last = state.running.get(name)
        if last and identity(last) != identity(entry):
            if self.retries.is_of(last) or identity(state.before.get(name, last)) == identity(entry):
                state.before.pop(name, None)  # this was the way back
            else:
                state.before.setdefault(name, last)
        state.running[name] = entry
        self._up_since[name] = self._clock.monotonic()
        if identity(self.assigned.get(name, entry)) == identity(entry) or self.retries.is_of(entry):
            self.retries.came_up(entry)
            self.words.pop(name, None)

    def _heard(self, name: str, words: Words) -> None:
        if name in self._state.failed:
            self.words[name] = words
            for old in list(self.words)[: -self.WORDS]:
                del self.words[old]
            self.on_words()
