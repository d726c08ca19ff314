"""Time on a router without a battery: never before what a verified assignment said; and how long a pass may still run.

A pass ends when the wall clock says so, or when its remaining time has been *run* (monotonic), whichever is first: a
clock that was set back, or never set, makes no pass longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from isdf.formats.assignment import Entry

BUILT = 1_767_225_600.0  # 2026-01-01, before which no assignment was ever issued


class Clock:
    """Unix time, at least `floor` plus what has passed since the floor was learned."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self.monotonic = wall, monotonic
        self._floor, self._floor_at = BUILT, monotonic()

    def learn(self, issued: float) -> None:
        """A verified assignment was issued at `issued`: it is not earlier."""
        if issued > self._least():
            self._floor, self._floor_at = issued, self.monotonic()

    def now(self) -> float:
        return max(self._wall(), self._least())

    @property
    def is_set(self) -> bool:
        """Whether the wall clock itself may be right."""
        return self._wall() >= self._least()

    def _least(self) -> float:
        return self._floor + self.monotonic() - self._floor_at


class Passes:
    """When each entry may run. `saved` is what `left` gave before a restart."""

    def __init__(self, clock: Clock, saved: dict[str, float] | None = None) -> None:
        self._clock = clock
        self._left = dict(saved or {})
        self._since = clock.monotonic()

    def state(self, entry: Entry) -> str:
        """One of "waiting" (for its time), "open", "ended". What has begun does not wait again."""
        now = self._clock.now()
        if now < entry.since and _key(entry) not in self._left:
            return "waiting"
        if entry.until is None:
            return "open"
        return "open" if now < entry.until and self._remaining(entry, now) > 0 else "ended"

    def next_change(self, entries: Iterable[Entry]) -> float | None:
        """Seconds until one of `entries` changes its state; None: none does by itself."""
        now, changes = self._clock.now(), []
        for entry in entries:
            match self.state(entry):
                case "waiting":
                    changes.append(entry.since - now)
                case "open" if entry.until is not None:
                    changes.append(min(entry.until - now, self._remaining(entry, now)))
        return max(0.0, min(changes)) if changes else None

    def left(self, entries: Iterable[Entry]) -> dict[str, float]:
        """Seconds that each begun pass of `entries` may still run, to be saved."""
        now = self._clock.now()
        return {_key(e): round(self._remaining(e, now), 1) for e in entries if _key(e) in self._left}

    def _remaining(self, entry: Entry, now: float) -> float:
        ran = self._clock.monotonic() - self._since
        # Kept as if the pass had begun with this object, so that one subtraction serves all.
        return self._left.setdefault(_key(entry), entry.until - max(now, entry.since) + ran) - ran


def _key(entry: Entry) -> str:
    return f"{entry.name} {entry.order} {entry.until}"
