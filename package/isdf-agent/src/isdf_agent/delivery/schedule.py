"""When to pull: at the start, at intervals, when pushed, when asked; one at a time.

Intervals are spread by jitter, and so are the tries after a failure, widely: when a manager is there again after an
hour, its routers do not come back all at once, nor do those that lost their power together. Pulls by push come from a
bucket; a push that finds a pull running or the bucket empty leaves a flag, and one pull follows.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.log import Log
from isdf.loop import Loop, Timer

from .push import Bucket
from .spread import doubled, uniform

log = Log(__name__)


class Schedule:
    """Calls `pull(reason)` when it is time; `ended` must follow each."""

    JITTER = 0.1
    FIRST_RETRY = 15.0  # seconds in the mean; doubled with each failure up to the interval

    def __init__(
        self, loop: Loop, interval: float, pull: Callable[[str], None], *,
        bucket: Bucket | None = None, uniform: Callable[[float, float], float] = uniform,
    ) -> None:  # fmt: skip
        self._loop, self._interval, self._pull = loop, interval, pull
        self._bucket, self._uniform = bucket or Bucket(), uniform
        self._timer: Timer | None = None
        self._running = False
        self._again: str | None = None  # why one more pull follows the one that runs, or the empty bucket
        self._left_alone = False  # the manager asked for the pause that runs
        self._failures = 0

    def pushed(self) -> None:
        """An authentic push came."""
        if self._running:
            self._again = self._again or "push"
        elif self._bucket.take():
            self._begin("push")
        else:
            self._again = "push"
            self._at(self._bucket.wait())

    def asked(self, reason: str) -> None:
        """Somebody on this router wants a pull now."""
        if self._running:
            self._again = reason
        else:
            self._begin(reason)

    def moved(self) -> None:
        """The manager must hear of this router now, unless it asked for a pause that is not over yet."""
        if self._running or not self._left_alone:
            self.asked("interface")

    def ended(self, good: bool, retry_after: float | None = None) -> None:
        """The pull is over. `retry_after`: the manager did nothing but to ask for a pause of so many seconds; then the
        next pull is later than that, but for a push and for a person."""
        self._running, self._left_alone = False, retry_after is not None
        self._failures = 0 if good else self._failures + 1
        if self._left_alone and self._again == "interface":
            self._again = None
        if self._again and self._again != "push":
            self._begin(self._again)
        elif self._again:
            self._at(self._bucket.wait())
        else:
            pause = self._interval * self._uniform(1 - self.JITTER, 1 + self.JITTER)
            if not good:
                retry = doubled(self.FIRST_RETRY, self._failures) * self._uniform(0.25, 1.75)
                pause = (retry_after or 0.0) + min(pause, retry)
            self._at(pause)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _at(self, seconds: float) -> None:
        self.stop()
        self._timer = self._loop.after(seconds, self._due)

    def _due(self) -> None:
        if self._again == "push" and not self._bucket.take():
            self._at(self._bucket.wait())
        else:
            self._begin(self._again or "interval")

    def _begin(self, reason: str) -> None:
        self.stop()
        self._again, self._running = None, True
        try:
            self._pull(reason)
        except Exception:  # no memory, a flash that cannot be read: pulls must not end for good
            log.exception("the pull (%s) does not begin", reason)
            self.ended(False)
