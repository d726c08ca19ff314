"""What failed, and when it is tried again: less and less often by itself, at once when it changes or when asked."""

from __future__ import annotations

from collections.abc import Iterable

from isdf.formats.assignment import Entry
from isdf.value import replace

from .clock import Clock
from .journal import Failure, identity
from .spread import doubled


class Retries:
    """Failures by the name of the service; `failed` is what the journal keeps of them."""

    FIRST, LAST = 900.0, 86400.0  # seconds until a failed entry is tried again; doubled each time

    def __init__(self, clock: Clock, failed: dict[str, Failure]) -> None:
        self._clock, self.failed = clock, failed
        self._at: dict[str, float] = {}  # monotonic
        self._came_up: dict[str, Failure] = {}  # what was ready since and has not shown yet that it stays up

    def take_due(self, names: Iterable[str], eager: bool) -> set[str]:
        """Those of `names` whose failed entry is to be tried now; the next time is set at once."""
        now, due = self._clock.monotonic(), set()
        for name in names:
            if failure := self.failed.get(name):
                after = self._after(failure)
                if now >= self._at.setdefault(name, now + after) or eager:
                    self._at[name] = now + after  # even if its package has to be fetched first
                    due.add(name)
        return due

    def wait(self, names: Iterable[str]) -> float | None:
        """Seconds until one of `names` is due; None: none failed."""
        now = self._clock.monotonic()
        waits = [self._at.setdefault(n, now + self._after(self.failed[n])) - now for n in names if n in self.failed]
        return max(0.0, min(waits)) if waits else None

    def may_try(self, entry: Entry, due: set[str]) -> bool:
        """Whether nothing speaks against `entry`, where `due` are the names whose failed entry is to be tried."""
        failure = self.failed.get(entry.name)
        if failure is None:
            return True
        return entry.name in due if failure.identity == identity(entry) else identity(entry) not in failure.back

    def is_of(self, entry: Entry | None) -> bool:
        """Whether it is this very entry that failed last."""
        failure = self.failed.get(entry.name) if entry else None
        return failure is not None and failure.identity == identity(entry)

    def note(self, entry: Entry, reason: str, *, was_ready: bool = False) -> None:
        """`entry` failed."""
        known = self.failed.get(entry.name) or self._came_up.pop(entry.name, None)
        tries = known.tries + 1 if known and known.identity == identity(entry) else 1
        failure = self.failed[entry.name] = Failure(identity(entry), reason, tries, was_ready)
        self._at[entry.name] = self._clock.monotonic() + self._after(failure)

    def note_back(self, entry: Entry, reason: str) -> None:
        """Nor could `entry` take the place of the one that failed."""
        failure = self.failed[entry.name]
        self.failed[entry.name] = replace(failure, back=failure.back | {identity(entry): reason})

    def came_up(self, entry: Entry) -> None:
        """`entry` is ready, and nothing else is wanted; if it fails once more soon, that is one more of its tries."""
        failure = self.failed.pop(entry.name, None)
        if failure and failure.identity == identity(entry):
            self._came_up[entry.name] = failure

    def stays(self, name: str) -> None:
        """What came up has shown that it stays up."""
        self._came_up.pop(name, None)

    def forget(self, name: str) -> None:
        self.failed.pop(name, None)
        self._came_up.pop(name, None)

    def _after(self, failure: Failure) -> float:
        return doubled(self.FIRST, failure.tries, self.LAST)
