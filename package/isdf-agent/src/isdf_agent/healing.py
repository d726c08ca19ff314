"""When the kernel is brought back to what it should be: soon after somebody changed it, later where it refuses.

What is done then is the caller's: each of `repairs` makes a part as it should be, whatever it is, or raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from isdf.errors import IsdfError
from isdf.log import Log
from isdf.loop import Loop, Timer

log = Log(__name__)
SETTLE = 0.3  # seconds after a change: an interface that comes up makes a dozen
APART = 2.0  # from one repair to the next, however often somebody changes something
RETRY, RETRY_MOST = 10.0, 640.0  # after a refusal; twice as long after each


class Healer:
    """`look` says that something may have changed, `refused` that the kernel did not take what it was told."""

    def __init__(
        self, loop: Loop, repairs: list[Callable[[], None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loop, self._repairs, self._clock = loop, repairs, clock
        self._pause, self._last = RETRY, float("-inf")
        self._timer: Timer | None = None
        self._due = float("inf")
        self._said: set[str] = set()

    def look(self) -> None:
        self._pause = RETRY
        self._at(max(self._clock() + SETTLE, self._last + APART))

    def refused(self) -> None:
        self._at(self._clock() + self._pause)

    def _at(self, when: float) -> None:
        """At the latest then; a sooner one stays."""
        if when >= self._due:
            return
        if self._timer:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.after(when - self._clock(), self._repair)

    def _repair(self) -> None:
        self._timer, self._due, self._last = None, float("inf"), self._clock()
        errors = {str(error) for error in map(_failure, self._repairs) if error}
        for error in sorted(errors - self._said):
            log.error("%s; it is tried again when something changes, and now and then", error)
        if self._said and not errors:
            log.info("the kernel is as it should be again")
        self._said = errors
        if errors:
            self.refused()
            self._pause = min(2 * self._pause, RETRY_MOST)
        else:
            self._pause = RETRY


def _failure(repair: Callable[[], None]) -> IsdfError | None:
    try:
        repair()
    except IsdfError as error:
        return error
    return None
