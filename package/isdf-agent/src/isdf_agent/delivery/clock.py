"""Time on a router without a battery: never before what a verified assignment said; and how long a service may run.

A service ends when the wall clock says so, or when its remaining time has been *run* (monotonic), whichever is first: a
clock that was set back, or never set, makes nothing longer. A clock that was set ahead ends it too, but only for as
long as it is wrong: the remaining time is reckoned from what is certain, never from the wall clock. A manager that
proved who he is says with each answer what time it is: from then on a wall clock that is far off is not believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from isdf.formats.assignment import Assignment, Entry
from isdf.log import Log

log = Log(__name__)

BUILT = 1_767_225_600.0  # 2026-01-01, before which no assignment was ever issued


class Clock:
    """Unix time: that of the wall clock, where nothing says that it is wrong."""

    OFF = 300.0  # seconds that the wall clock may differ from the manager's

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self.monotonic = wall, monotonic
        self._floor, self._floor_at = BUILT, monotonic()
        self._told: tuple[float, float] | None = None  # what the manager said, and when

    def learn(self, issued: float) -> None:
        """A verified assignment was issued at `issued`: it is not earlier."""
        if issued > self.least():
            self._floor, self._floor_at = issued, self.monotonic()

    def tell(self, time: float) -> None:
        """Somebody who is certainly the manager says what time it is."""
        self._told = time, self.monotonic()
        self.learn(time - self.OFF)

    def forget(self) -> None:
        """The key of the assignments that were believed was replaced: it may have been stolen, and have lied."""
        self._floor, self._floor_at = BUILT, self.monotonic()

    def now(self) -> float:
        wall = self._wall()
        if self._told:
            told, at = self._told
            known = told + self.monotonic() - at
            if abs(wall - known) > self.OFF:
                return known
        return max(wall, self.least())

    def least(self) -> float:
        """It is not earlier, however the wall clock is set."""
        return self._floor + self.monotonic() - self._floor_at

    @property
    def is_set(self) -> bool:
        """Whether the time may be right; otherwise it is at least that late."""
        return self._told is not None or self._wall() >= self.least()


class Passes:
    """When each entry of the assignment in force may run. `save` keeps what `left` gives, `saved` is what was kept.

    An entry without an end of its own has one too: its `offline_grace` after the assignment has expired.
    """

    SAVE = 4200.0  # seconds between saves: with all else that is written, less than 24 a day
    LOOK = 60.0  # seconds between looks at the clock where it matters: it may be set at any time

    def __init__(
        self, clock: Clock, saved: dict[str, float] | None = None,
        save: Callable[[dict[str, float]], None] = lambda left: None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._left = dict(saved or {})
        self._save, self._saved, self._saved_at = save, set(self._left), clock.monotonic()
        self._paused: dict[str, float] = {}
        self._since = clock.monotonic()
        self._expires = 0

    def follow(self, assignment: Assignment) -> None:
        """It is in force from now on."""
        self._clock.learn(assignment.issued)
        self._expires = assignment.expires
        known = {self._key(entry) for entry in assignment.services}
        self._left = {key: left for key, left in self._left.items() if key in known}

    def state(self, entry: Entry) -> str:
        """One of "waiting" (for its time), "open", "ended"."""
        now = self._clock.now()
        key = self._key(entry)
        if now < entry.since:
            if key not in self._left:
                return "waiting"
            if self._clock.is_set:  # it began by a clock that was wrong; one that lost the time undoes no beginning
                self._paused.setdefault(key, self._remaining(entry))
                return "waiting"
        if key in self._paused:
            self._left[key] = self._paused.pop(key) + self._ran()
        return "open" if now < self._end(entry) and self._remaining(entry) > 0 else "ended"

    def has_run(self, entry: Entry) -> bool:
        """Whether `entry` has ended whatever the clock may say yet."""
        return self._clock.least() >= self._end(entry) or self._left.get(self._key(entry), float("inf")) <= self._ran()

    def next_look(self, entries: Iterable[Entry]) -> float | None:
        """Seconds until one of `entries` may change its state; None: none does by itself."""
        now, looks = self._clock.now(), []
        for entry in entries:
            state = self.state(entry)
            if state == "waiting":
                looks.append(entry.since - now)
            elif state == "open":
                looks.append(min(self._end(entry) - now, self._remaining(entry)))
            if not self.has_run(entry) and (entry.until is not None or state != "open"):
                looks.append(self.LOOK)
        return max(0.0, min(looks)) if looks else None

    def left(self, entries: Iterable[Entry]) -> dict[str, float]:
        """Seconds that each begun entry of `entries` may still run, to be saved.

        Those without an end of their own are left out while the clock can end them: they cost the flash nothing.
        """
        begun = [e for e in entries if self._key(e) in self._left]
        lost = not self._clock.is_set
        return {self._key(e): round(self._remaining(e), 1) for e in begun if e.until is not None or lost}

    def save(self, entries: Iterable[Entry], *, now: bool = False) -> None:
        """Save where one has begun or gone, and otherwise (unless `now`) once in a while: flash wears."""
        left = self.left(entries)
        if now or left.keys() != self._saved or self._clock.monotonic() - self._saved_at >= self.SAVE:
            self._saved, self._saved_at = left.keys(), self._clock.monotonic()
            try:
                self._save(left)
            except OSError as error:
                log.error("what passes have left could not be saved: %s", error)

    def _end(self, entry: Entry) -> float:
        return self._expires + entry.offline_grace if entry.until is None else entry.until

    def _remaining(self, entry: Entry) -> float:
        # Kept as if the entry had begun with this object, so that one subtraction serves all.
        whole = self._end(entry) - max(self._clock.least(), entry.since)
        key = self._key(entry)
        left = self._left.setdefault(key, whole + self._ran()) - self._ran()
        return self._paused.get(key, left)

    def _ran(self) -> float:
        return self._clock.monotonic() - self._since

    def _key(self, entry: Entry) -> str:
        return f"{entry.name} {entry.order} {self._end(entry)}"
