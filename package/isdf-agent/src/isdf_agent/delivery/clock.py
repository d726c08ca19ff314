"""Time on a router without a battery: never before what a verified assignment said; and how long a service may run.

A service ends when the wall clock says so, or when its remaining time has been *run* (monotonic), whichever is first: a
clock that was set back, or never set, makes nothing longer. A clock that was set ahead ends it too, but only for as
long as it is wrong: the remaining time is reckoned from what is certain, never from the wall clock. A manager that
proved who he is says with each answer what time it is: from then on a wall clock that is far off is not believed, nor
what an assignment said; and who was wrong once may say otherwise the next time.

What has run is written to flash before it has: a power cut gives no pass a second more. What it takes from one is at
most the time until the next write, and is given back by a manager that proves the time.
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
        self._told: tuple[float, float] | None = None  # what the manager said, and when
        self.forget()

    def learn(self, issued: float) -> None:
        """The newest verified assignment was issued at `issued`: it is not earlier.

        Where one before it was issued later, that one said what it could not know, and does not count any more.
        """
        if issued < self._issued or issued > self._signed():
            self._floor, self._floor_at = issued, self.monotonic()
        self._issued = issued

    def tell(self, time: float) -> None:
        """Somebody who is certainly the manager says what time it is."""
        self._told = float(time), self.monotonic()

    def forget(self) -> None:
        """The key of the assignments that were believed was replaced: it may have been stolen, and have lied."""
        self._issued, self._floor, self._floor_at = 0.0, BUILT, self.monotonic()

    def now(self) -> float:
        return max(self.unsigned(), self.least())

    def unsigned(self) -> float:
        """What time it is if no assignment is asked: an assignment says nothing against one that overrules it."""
        wall, proved = self._wall(), self.proved()
        return wall if proved is None or abs(wall - proved) <= self.OFF else proved

    def proved(self) -> float | None:
        """What time it is by the manager's own word; None where he never proved who he is."""
        if self._told is None:
            return None
        told, at = self._told
        return told + self.monotonic() - at

    def least(self) -> float:
        """It is not earlier, however the wall clock is set."""
        proved = self.proved()
        return self._signed() if proved is None else proved - self.OFF

    @property
    def is_set(self) -> bool:
        """Whether the time may be right; otherwise it is at least that late."""
        return self._told is not None or self._wall() >= self.least()

    def _signed(self) -> float:
        return self._floor + self.monotonic() - self._floor_at


class Passes:
    """When each entry of the assignment in force may run. `save` keeps what `left` gives, `saved` is what was kept.

    An entry without an end of its own has one too: its `offline_grace` after the assignment has expired.
    """

    SAVE = 5400.0  # seconds between saves at most: with all else that is written, less than 24 a day
    PART = 3  # a third of what is left of the shortest pass is another bound,
    LEAST = 300.0  # seconds, where it is not less than these
    LOOK = 60.0  # seconds between looks at the clock where it matters: it may be set at any time

    def __init__(
        self, clock: Clock, saved: dict[str, float] | None = None,
        save: Callable[[dict[str, float]], None] = lambda left: None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._left = dict(saved or {})
        self._save, self._saved, self._due = save, set(self._left), clock.monotonic()
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
        begun = self._key(entry) in self._left
        return self._clock.least() >= self._end(entry) or (begun and self._remaining(entry) <= 0)

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
        """Save where one has begun or gone, and otherwise once in a while: flash wears.

        Saved is what is left at the next save, so that a power cut before it makes nothing longer; or (`now`), where
        nothing runs on, what is left.
        """
        left = self.left(entries)
        if now or left.keys() != self._saved or self.next_save() == 0.0:
            runs = {key: seconds for key, seconds in left.items() if key not in self._paused}
            shortest = min((seconds for seconds in runs.values() if seconds > 0), default=float("inf"))
            ahead = 0.0 if now else min(self.SAVE, max(self.LEAST, shortest / self.PART))
            self._saved, self._due = left.keys(), self._clock.monotonic() + ahead
            try:
                self._save(left | {key: max(0.0, round(seconds - ahead, 1)) for key, seconds in runs.items()})
            except OSError as error:
                log.error("what passes have left could not be saved: %s", error)

    def next_save(self) -> float:
        """Seconds until `save` has something to do."""
        return max(0.0, self._due - self._clock.monotonic())

    def _end(self, entry: Entry) -> float:
        return self._expires + entry.offline_grace if entry.until is None else entry.until

    def _remaining(self, entry: Entry) -> float:
        key, end, proved = self._key(entry), self._end(entry), self._clock.proved()
        if key in self._paused:
            return self._paused[key]
        if key not in self._left:
            whole = end - max(self._clock.least(), entry.since)
            if whole <= 0:
                return whole  # what never ran is not over for good: the next word about the time may be another one
            # Kept as if the entry had begun with this object, so that one subtraction serves all.
            self._left[key] = whole + self._ran()
        left = self._left[key] - self._ran()
        return left if proved is None else max(left, end - max(proved, entry.since))

    def _ran(self) -> float:
        return self._clock.monotonic() - self._since

    def _key(self, entry: Entry) -> str:
        return f"{entry.name} {entry.order} {self._end(entry)}"
