"""What failed, and when it is tried again: less and less often by itself, at once when it changes or when asked."""

from __future__ import annotations

from isdf.formats.assignment import Entry

from .clock import Clock
from .journal import Failure, identity


class Retries:
    """Failures by the name of the service; `failed` is what the journal keeps of them."""

    FIRST, LAST = 900.0, 86400.0  # seconds until a failed entry is tried again; doubled each time

    def __init__(self, clock: Clock, failed: dict[str, Failure]) -> None:
        self._clock, self.failed = clock, failed
        self._at: dict[str, float] = {}  # monotonic

    def may_try(self, entry: Entry, eager: bool) -> bool:
        """Whether `entry` is to be tried now; if it is one that failed, the next time is set at once."""
        failure = self.failed.get(entry.name)
        if eager or failure is None or failure.identity != identity(entry):
            return True
        now, after = self._clock.monotonic(), self._after(failure)
        due = now >= self._at.setdefault(entry.name, now + after)
        if due:
            self._at[entry.name] = now + after  # even if its package has to be fetched first
        return due

    def is_of(self, entry: Entry) -> bool:
        """Whether it is this very entry that failed last."""
        failure = self.failed.get(entry.name)
        return failure is not None and failure.identity == identity(entry)

    def note(self, entry: Entry, reason: str) -> None:
        """`entry` failed."""
        tries = self.failed[entry.name].tries + 1 if self.is_of(entry) else 1
        failure = self.failed[entry.name] = Failure(identity(entry), reason, tries)
        self._at[entry.name] = self._clock.monotonic() + self._after(failure)

    def forget(self, name: str) -> None:
        self.failed.pop(name, None)

    def wait(self) -> float | None:
        """Seconds until one is due; None: there is none."""
        due = [at for name, at in self._at.items() if name in self.failed]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _after(self, failure: Failure) -> float:
        return min(self.FIRST * 2.0 ** min(failure.tries - 1, 30), self.LAST)
