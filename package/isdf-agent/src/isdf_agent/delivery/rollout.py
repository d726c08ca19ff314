"""From an assignment to services that run: install, upgrade, remove, start, and the way back.

One `settle` brings the router to what the assignment says should run at this time. It compares with what is there and
does only what differs, so it may be repeated at any time: after a pull, when a pass begins or ends, after a crash.

A service that does not become ready goes back to the version and the configuration that were ready before, from flash;
a first version is removed again. The others are not touched. What failed is tried again when its entry changes, by a
push or by hand, and otherwise at longer and longer intervals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from pathlib import Path

from isdf.formats.assignment import Entry
from isdf.loop import Loop, Timer

from . import steps
from .clock import Clock, Passes
from .installer import PREFIX
from .journal import Journal, Received, identity
from .plan import plan
from .ports import Installer, Services
from .retries import Retries

log = logging.getLogger(__name__)

OFFLINE_GRACE = 14 * 86400.0  # seconds that services without an end go on after their assignment expired


class Rollout:
    """`received` is the assignment in force; `on_settled(changed)` is called after each settle."""

    LOOK = 60.0  # seconds between looks at the clock while a pass is open: it may be set at any time
    SAVE = 3600.0  # seconds between saves of what passes have left
    PATIENCE = (
        660.0  # seconds for a service to answer at all; how long it may take to be ready is the supervisor's matter
    )

    def __init__(
        self, loop: Loop, services: Services, installer: Installer, journal: Journal, clock: Clock, *,
        offline_grace: float = OFFLINE_GRACE,
    ) -> None:  # fmt: skip
        self._loop, self._services, self._installer = loop, services, installer
        self._journal, self._clock, self._grace = journal, clock, offline_grace
        self.received = journal.pending() or journal.assignment()
        self._state = journal.state()
        if self.received:
            clock.learn(self.received.assignment.issued)
        self._passes = Passes(clock, journal.passes())
        self._saved_at = clock.monotonic()
        self._retries = Retries(clock, self._state.failed)
        self._staged: dict[str, Path] = {}
        self._timer: Timer | None = None
        self._ends: Timer | None = None
        self._settled: set[str] = set()  # whose time it was at the last settle
        self._busy = False
        self._waiting: list[tuple] = []
        self.missing: set[str] = set()  # packages of the assignment that are not here; a pull fetches them
        self.on_settled: Callable[[bool], None] = lambda changed: None
        self.mark: Callable[[str], None] = lambda step: None  # the steps "ended", "installed", "started", "ready"

    # -- what may be asked

    def settle(
        self, received: Received | None = None, staged: dict[str, Path] | None = None, *, eager: bool = False,
        done: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Carry out `received` (default: the assignment in force), with the packages `staged` (by SHA-256).

        `eager` also tries what failed and is not due yet. One at a time; what is asked meanwhile comes after it.
        """
        self._waiting.append((received, staged or {}, eager, done))
        if not self._busy:
            self._next()

    def packages(self) -> dict[str, str]:
        """Path by SHA-256 of the packages of the assignment in force that are on flash."""
        entries = [*(self.received.assignment.services if self.received else ()), *self._state.running.values()]
        return {e.sha256: str(path) for e in entries if (path := self._journal.package(e))}

    def report(self) -> tuple[bool, list[dict]]:
        """Whether all is as the assignment says, and each service: name, version, state, since, error."""
        listing, entries = self._services.listing(), self.received.assignment.services if self.received else ()
        report = []
        for entry in entries:
            failure = self._state.failed.get(entry.name)
            there = listing.get(entry.name)
            state = self._passes.state(entry)
            error = failure.reason if failure else there and there.get("error")
            if there:
                report.append(_line(entry.name, there["version"], there["state"], there["since"], error))
            elif state != "open":
                since = entry.since if state == "waiting" else entry.until
                report.append(_line(entry.name, entry.version, state, since))
            else:
                report.append(_line(entry.name, entry.version, "failed", None, error or "it is not installed yet"))
        return not any(line["error"] for line in report), report

    def gave_up(self, name: str, reason: str) -> None:
        """A service that was ready ended for good; it is started again like one that never was."""
        if entry := self._state.running.get(name):
            self._fail(entry, reason)
            self._look_again()
            self.on_settled(True)

    def stop(self) -> None:
        """Save what passes have left; nothing else needs an end."""
        self._save_passes()
        if self._timer:
            self._timer.cancel()

    # -- one settle after the other

    def _next(self) -> None:
        if not self._waiting:
            return
        self._busy = True
        received, staged, eager, done = self._waiting.pop(0)

        def ended(changed: bool) -> None:
            self._busy = False
            self._ends.cancel()
            self._look_again()
            self.on_settled(changed)
            done()
            if not self._busy:
                self._next()

        self._end_passes()
        steps.run(self._guarded(received or self.received, staged, eager), ended)

    def _guarded(self, received: Received | None, staged: dict, eager: bool) -> Generator[steps.Step, object, bool]:
        if received is None:
            return False
        try:
            return (yield from self._settle(received, staged, eager))
        except OSError as error:  # the flash is full or worn; what ran runs on
            reason = f"the router's flash could not be written: {error.strerror or error}"
        except Exception as error:  # a fault of ours must not end delivery for good
            log.exception("the assignment is not carried out")
            reason = f"a fault in the agent: {error!r}"
        for entry in received.assignment.services:
            before = self._state.running.get(entry.name)
            if self._may_run(entry) and (before is None or identity(before) != identity(entry)):
                self._fail(entry, reason)
        return True

    def _settle(self, received: Received, staged: dict, eager: bool) -> Generator[steps.Step, object, bool]:
        assignment, state = received.assignment, self._state
        self._clock.learn(assignment.issued)
        self.received = received
        self._staged = {sha256: path for sha256, path in (self._staged | staged).items() if path.is_file()}
        wanted = {e.name: e for e in assignment.services if self._may_run(e)}
        self._settled = set(wanted)
        target = {name: e for name, e in wanted.items() if self._retries.may_try(e, eager)}
        held = wanted.keys() - target.keys()
        for name in held:
            before = state.running.get(name)
            if before and not self._retries.is_of(before):
                target[name] = before
        here = {e.sha256 for e in assignment.services if e.sha256 in self._staged or self._journal.package(e)}
        self.missing = {e.sha256 for e in wanted.values()} - here
        installed = self._installer.installed()
        todo = plan(
            target, held, ready=state.running, installed=installed, versions=self._services.versions(),
            failed={name for name, e in target.items() if self._retries.is_of(e)},
        )  # fmt: skip
        fresh = {n: e for n, e in todo.fresh.items() if e.sha256 in here or self._journal.package(e)}
        if not todo.empty or any(self._journal.package(e) is None for e in assignment.services if e.sha256 in here):
            self._journal.begin(received, self._staged)

        yield steps.together({n: self._stopping(n) for n in todo.gone})
        if todo.gone:
            self.mark("ended")
        for name in todo.gone:
            state.running.pop(name, None)
        state.running |= todo.kept
        yield from self._reconfigure(todo.tuned)
        yield from self._install(fresh, todo.idle)
        packages = [PREFIX + name for name in sorted(todo.gone) if PREFIX + name in installed]
        yield lambda done: self._installer.remove(packages, done)

        for name in state.failed.keys() - {e.name for e in assignment.services}:
            self._retries.forget(name)
        keep = {e.sha256 for e in assignment.services if self._passes.state(e) != "ended"}
        self._journal.finish(received, state, keep | {e.sha256 for e in state.running.values()})
        self._save_passes()
        return not todo.empty

    # -- the steps

    def _reconfigure(self, tuned: dict[str, Entry]) -> Generator[steps.Step, dict, None]:
        results = yield steps.together(
            {
                n: self._patiently(lambda done, e=e: self._services.reconfigure(e.name, e.config, done))
                for n, e in tuned.items()
            }
        )
        if tuned:
            self.mark("ready")
        for name, error in results.items():
            self._ended_well(tuned[name]) if error is None else self._fail(tuned[name], error)

    def _install(self, fresh: dict[str, Entry], idle: dict[str, Entry]) -> Generator[steps.Step, dict, None]:
        files = {e.package: (e.version, self._journal.package(e)) for e in fresh.values()}
        wrong = yield lambda done: self._installer.install(files, done)
        if fresh:
            self.mark("installed")
        broken = {e.name: wrong[e.package] for e in fresh.values() if e.package in wrong}
        starts = {n: e for n, e in (idle | fresh).items() if n not in broken and self._may_run(e)}
        if starts:
            self.mark("started")
        results = yield steps.together({n: self._starting(e) for n, e in starts.items()})
        if starts:
            self.mark("ready")
        failed = broken | {name: error for name, error in results.items() if error is not None}
        for name in starts.keys() - failed.keys():
            self._ended_well(starts[name])
        for name, error in failed.items():
            yield from self._way_back((idle | fresh)[name], error, started=name in starts)

    def _way_back(self, entry: Entry, error: str, *, started: bool) -> Generator[steps.Step, object, None]:
        """What was ready before `entry` runs again; where nothing was, the package goes."""
        before = self._state.running.get(entry.name)
        if not self._may_run(entry):  # its time ended while it was tried; the settle that follows removes it
            return
        if before is None or before == entry:
            self._fail(entry, error)
            yield self._stopping(entry.name)
            if before is None:
                yield lambda done: self._installer.remove([entry.package], done)
            return
        self._fail(entry, f"{entry.version} does not start, {before.version} runs on: {error}")
        if before.sha256 != entry.sha256:
            package = self._journal.package(before)
            if package is None:
                log.error("the package of %s %s is not on flash; it cannot come back", entry.name, before.version)
                return
            yield lambda done: self._installer.install({before.package: (before.version, package)}, done)
        again = (yield self._starting(before)) if started else None
        if again is not None:
            self._fail(entry, f"{entry.version} does not start: {error}; nor does {before.version} again: {again}")

    def _starting(self, entry: Entry) -> steps.Step:
        return self._patiently(lambda done: self._services.start(entry.name, entry.version, entry.config, done))

    def _stopping(self, name: str) -> steps.Step:
        return self._patiently(lambda done: self._services.stop(name, done))

    def _patiently(self, step: steps.Step) -> steps.Step:
        """A service that is lost track of must not keep all others waiting for ever."""
        return steps.bounded(self._loop, self.PATIENCE, step, f"nothing was heard of it within {self.PATIENCE:g} s")

    # -- what is known of an entry

    def _may_run(self, entry: Entry) -> bool:
        overdue = self._clock.now() - self.received.assignment.expires >= self._grace
        return self._passes.state(entry) == "open" and not (overdue and entry.until is None)

    def _fail(self, entry: Entry, reason: str) -> None:
        log.error("service %s %s: %s", entry.name, entry.version, reason)
        self._retries.note(entry, reason)

    def _ended_well(self, entry: Entry) -> None:
        self._state.running[entry.name] = entry
        self._retries.forget(entry.name)

    # -- time

    def _look_again(self) -> None:
        """Settle again when an entry's time begins or ends."""
        if self._timer:
            self._timer.cancel()
        if not self.received:
            return
        entries = self.received.assignment.services

        def changed() -> bool:
            return {e.name for e in entries if self._may_run(e)} != self._settled

        def look() -> None:
            if self._clock.monotonic() - self._saved_at >= self.SAVE:
                self._save_passes()
            if self._retries.wait() == 0.0 or changed():
                self.settle()
            else:
                self._look_again()

        change = self._passes.next_change(entries)
        overdue = self.received.assignment.expires + self._grace - self._clock.now()
        waits = [self.SAVE, self._retries.wait(), overdue if overdue > 0 else None, 0 if changed() else None]
        if change is not None:
            waits += [change, self.LOOK]  # the clock may be set meanwhile
        self._timer = self._loop.after(min(wait for wait in waits if wait is not None), look)

    def _end_passes(self) -> None:
        """While a settle waits for one service, the passes of the others end on time all the same."""
        entries = self.received.assignment.services if self.received else ()
        running = self._services.versions()
        for entry in entries:
            if entry.name in running and self._passes.state(entry) == "ended":
                self._services.stop(entry.name, lambda error: None)
        wait = self._passes.next_change(entries)
        # The settle itself may bring another assignment.
        self._ends = self._loop.after(1.0 if wait is None else min(wait, 1.0), self._end_passes)

    def _save_passes(self) -> None:
        self._saved_at = self._clock.monotonic()
        if self.received:
            try:
                self._journal.save_passes(self._passes.left(self.received.assignment.services))
            except OSError as error:
                log.error("what passes have left could not be saved: %s", error)


def _line(name: str, version: str, state: str, since: float | None, error: str | None = None) -> dict:
    """A service in a report. Of its words the last 2 kB go out, as one line of plain text."""
    plain = error and "".join(c if c.isprintable() else " " for c in error[-2048:])
    return {"name": name, "version": version, "state": state, "since": since, "error": plain}
