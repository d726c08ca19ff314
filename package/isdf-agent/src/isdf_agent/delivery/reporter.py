"""Reports to the manager, one at a time; the newest wins, and what could not be delivered is tried again.

Most services are ready a moment after their start. So a report that has nothing newer to say of a service than that it
is starting waits a little for what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.log import Log
from isdf.loop import Loop, Timer

from .spread import doubled, uniform

log = Log(__name__)

Post = Callable[[dict, Callable[[int, str], None]], None]
"""Sends a report, and calls back with 0 (delivered), 1 (try again later) or 2 (never try this one again), and why."""


class Reporter:
    FIRST_RETRY, LAST_RETRY = 5.0, 1800.0  # seconds
    STARTING = 1.0  # seconds

    def __init__(self, loop: Loop, post: Post, uniform: Callable[[float, float], float] = uniform) -> None:
        self._loop, self._post, self._uniform = loop, post, uniform
        self._newest: dict | None = None
        self._busy = False
        self._failures = 0
        self._timer: Timer | None = None
        self._patience: Timer | None = None
        self._told: set[str] = set()  # services of which the last report said that they are starting

    def send(self, report: dict) -> None:
        """Deliver `report` as soon as it goes."""
        before, self._newest = _starting(self._newest), report
        now = _starting(report)
        if now <= self._told or before - now:
            self._begin()
        elif not (self._patience and self._patience.active):
            self._patience = self._loop.after(self.STARTING, self._begin)

    def reachable(self) -> None:
        """The manager answered something just now: what waits goes out."""
        if self._newest is not None:
            self._begin()

    def stop(self) -> None:
        for timer in (self._timer, self._patience):
            if timer:
                timer.cancel()

    def _begin(self) -> None:
        if self._busy or self._newest is None:
            return
        self.stop()
        report, self._newest, self._busy = self._newest, None, True
        self._told = _starting(report)

        def ended(status: int, why: str) -> None:
            self._busy = False
            self._failures = 0 if status == 0 else self._failures + 1
            if status:
                log.error("the report of serial %s is not delivered: %s", report.get("serial"), why)
            if status not in (0, 2):
                self._newest = self._newest or report
                spread = doubled(self.FIRST_RETRY, self._failures, self.LAST_RETRY)
                self._timer = self._loop.after(spread * self._uniform(0.5, 1.5), self._begin)
                return
            self._begin()

        self._post(report, ended)


def _starting(report: dict | None) -> set[str]:
    services = report["services"] if report else ()
    return {service["name"] for service in services if service["state"] == "starting"}
