"""From an assignment to services that run: install, upgrade, remove, start, and the way back.

One `settle` brings the router to what the assignment says should run at this time. It compares with what is there and
does only what differs, so it may be repeated at any time: after a pull, when a pass begins or ends, after a crash.

A settle begins starts and waits for none: a service that hangs delays no other. How a start ends is an event; what
follows of it is found by the next settle. What failed gives way to what was ready before, from flash; a first version
is removed again. It is tried again when its entry changes, by a push or by hand, and otherwise at longer and longer
intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from isdf.errors import NotFoundError
from isdf.formats.assignment import Entry
from isdf.log import Log
from isdf.loop import Loop, Timer
from isdf.path import Path

from . import standing, steps
from .clock import Clock, Passes
from .installer import PREFIX
from .journal import Journal, Received, identity
from .plan import Plan, Present, plan
from .ports import Done, Installer, Services
from .trials import Trials

log = Log(__name__)

_FLASH = "the router's flash could not be written: {}"


class Rollout:
    """`received` is the assignment in force. `on_settled(changed)` is called after each settle, `on_known()` when
    more is known of a service: it is ready, it failed, it printed something before it did."""

    STOP_AGAIN = 60.0  # seconds until what could not be ended is ended again

    def __init__(self, loop: Loop, services: Services, installer: Installer, journal: Journal, clock: Clock) -> None:
        self._loop, self._services, self._installer = loop, services, installer
        self._journal, self._clock, self._state = journal, clock, journal.state()
        self._passes = Passes(clock, journal.passes(), journal.save_passes)
        self._trials = Trials(services, clock, self._state)
        self._trials.on_end = self._ended
        self._trials.on_words = self._known
        self.received: Received | None = None
        if received := journal.assignment():
            self._follow(received)
        self._staged: dict[str, Path] = {}
        self._stuck: dict[str, str] = {}  # why a process that should have ended may not have, by service
        self._stuck_at = 0.0
        self._asked: dict[str, list[Done]] = {}  # who waits for a service that a customer started
        self._timer: Timer | None = None
        self._settled: set[str] = set()  # whose time it was at the last settle
        self._prepared = False
        self._turns = steps.Turns(self._idle)
        self.missing: set[str] = set()  # packages of the assignment that are not here; a pull fetches them
        self.on_settled: Callable[[bool], None] = lambda changed: None
        self.on_known: Callable[[], None] = lambda: None
        self.mark: Callable[[str], None] = lambda step: None  # the steps "ended", "installed", "started", "ready"

    # -- what may be asked

    def settle(
        self, received: Received | None = None, staged: dict[str, Path] | None = None, *, eager: bool = False,
        done: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Carry out `received` (default: the assignment in force), with the packages `staged` (by SHA-256).

        `eager` also tries what failed and is not due yet. One at a time; what is asked meanwhile comes after it.
        """
        self._turns.take(lambda: self._guarded(received or self.received, staged or {}, eager), done)

    def hold(self, name: str, done: Done) -> None:
        """The customer stops `name`: it is kept up to date and does not run until `release`, or until it is sold anew.

        `NotFoundError` where the assignment has no such service.
        """
        self._state.held[name] = self._entry(name).order
        if error := self._save():
            del self._state.held[name]
            done(error)
            return

        def settled() -> None:
            state = self._services.listing().get(name, {}).get("state", "stopped")
            done(self._stuck.get(name) or (None if state == "stopped" else "it could not be ended; see the log"))

        self.settle(done=settled)

    def release(self, name: str, done: Done) -> None:
        """The inverse of `hold`, and another try for a service that failed; `done` when it is ready, or why not."""
        self._entry(name)
        self._state.held.pop(name, None)
        self._asked.setdefault(name, []).append(done)

        def settled() -> None:
            if name not in self._trials.under_way:
                told = next((told for told in self.report()[1] if told["name"] == name), None)
                runs = told and told["state"] == "running"
                self._answer(name, None if runs else (told and told["error"]) or "it is not its time")

        self.settle(done=settled)

    def packages(self) -> dict[str, str]:
        """Path by SHA-256 of the packages of the assignment in force that are on flash."""
        entries = [*self._entries, *self._state.running.values()]
        return {e.sha256: str(path) for e in entries if (path := self._journal.package(e))}

    def report(self) -> tuple[bool, list[dict]]:
        """Whether all is as the assignment says, and each service: name, version, state, since, error, exit, log."""
        listing = self._services.listing()
        lines = standing.report(self._entries, listing, self._passes, self._state, self._trials, self._stuck)
        return not any(told["error"] or told["state"] == "starting" for told in lines), lines

    def gave_up(self, name: str, reason: str) -> None:
        """A service that was ready ended for good; what was ready before it returns, or it is tried again later."""
        self._trials.gave_up(name, reason)
        self.settle()

    def stop(self) -> None:
        """Save what passes have left; nothing else needs an end."""
        self._passes.save(self._entries, now=True)
        if self._timer:
            self._timer.cancel()

    # -- a settle

    def _idle(self, changed: bool) -> None:
        self._look_later()
        self.on_settled(changed)

    def _guarded(self, received: Received | None, staged: dict, eager: bool) -> Generator[steps.Step, object, bool]:
        if received is None:
            return False
        self._look_later()
        try:
            return (yield from self._settle(received, staged, eager))
        except OSError as error:  # the flash is full or worn; what ran runs on
            reason = _FLASH.format(error.strerror or error)
        except Exception as error:  # a fault of ours must not end delivery for good
            log.exception("the assignment is not carried out")
            reason = f"a fault in the agent: {error!r}"
        for entry in self._entries:
            before, trying = self._state.running.get(entry.name), entry.name in self._trials.under_way
            if self._may_run(entry) and not trying and (before is None or identity(before) != identity(entry)):
                self._trials.fail(entry, reason, ran=False)
        return True

    def _settle(self, received: Received, staged: dict, eager: bool) -> Generator[steps.Step, object, bool]:
        self._follow(received)
        self._settled = {entry.name for entry in self._entries if self._may_run(entry)}
        self._staged = {sha256: path for sha256, path in (self._staged | staged).items() if path.is_file()}
        if not self._prepared:
            yield self._installer.prepare
            self._prepared = True
        trials, state = self._trials, self._state
        trials.prove()
        wanted = {e.name: e for e in self._entries if self._may_run(e)}
        self._settled = set(wanted)
        here = {e.sha256 for e in self._entries if e.sha256 in self._staged or self._journal.package(e)}
        self.missing = {e.sha256 for e in wanted.values()} - here
        under_way = {name: attempt.entry for name, attempt in trials.under_way.items()}
        present = Present(
            self._installer.installed(), self._services.listing(), state, under_way, set(self._stuck)
        )  # fmt: skip
        due = trials.retries.take_due(wanted.keys() - under_way.keys(), eager) | self._asked.keys()

        def is_here(entry: Entry) -> bool:
            return entry.sha256 in here or present.has(entry) or self._journal.package(entry) is not None

        chosen = {name: trials.choose(entry, due, is_here) for name, entry in wanted.items()}
        target = {name: entry for name, entry in chosen.items() if entry}
        left = {name for name in wanted.keys() - target.keys() if name in state.running}
        todo = plan(target, left, present)
        for name, entry in todo.kept.items():
            if name in trials.under_way:
                trials.under_way[name].entry = entry
            else:
                state.running[name] = entry

        over: set[str] = set()

        def remove(done: Done) -> None:
            there = self._installer.installed()
            self._installer.remove([PREFIX + name for name in sorted(over) if PREFIX + name in there], done)

        try:
            self._keep()
            fits = self._begin(received)
            yield from self._end(todo, left)
            over |= todo.gone - self._stuck.keys()
            for name in over:
                for known in (state.running, state.before, state.installed):
                    known.pop(name, None)
            if not fits:  # what is gone may have had the room
                yield remove
                self._keep()
                self._journal.begin(received, self._staged)
            for path in self._staged.values():
                path.unlink(missing_ok=True)  # it lay in the router's memory
            self._staged = {}
            for e in todo.tuned.values():
                trials.begin(e, lambda done, e=e: self._services.reconfigure(e.name, e.config, done), self.mark)
            broken = yield from self._install(todo.install)
            for e in todo.start.values():
                if e.name not in broken and self._may_run(e):
                    self._start(e)
            yield remove
        except Exception:
            self._conclude()  # what was done is done, and the next try may need the room
            raise
        self._conclude()
        return not todo.empty

    # -- its steps

    def _end(self, todo: Plan, left: set[str]) -> Generator[steps.Step, dict, None]:
        """End what should not run; what could not be ended is `_stuck`, and is ended again."""
        ends = todo.gone | (left & (self._trials.hanging | self._stuck.keys()))
        self._drop(ends | todo.held.keys())
        step = {name: lambda done, name=name: self._services.stop(name, done) for name in ends}
        for e in todo.held.values():
            step[e.name] = lambda done, e=e: self._services.hold(e.name, e.version, e.config, done)
        results = yield steps.together(step)
        self._stuck = {name: f"it could not be ended: {error}" for name, error in results.items() if error}
        self._stuck_at = self._clock.monotonic()
        for name, error in self._stuck.items():
            log.error("service %s: %s; it is tried again", name, error)
        if todo.gone:
            self.mark("ended")

    def _install(self, entries: dict[str, Entry]) -> Generator[steps.Step, dict, set[str]]:
        """Install the packages of `entries`; the answer are the names of those that could not be."""
        files = {e.package: (e.version, self._journal.package(e)) for e in entries.values()}
        wrong = yield lambda done: self._installer.install(files, done)
        if entries:
            self.mark("installed")
        broken = {name for name, entry in entries.items() if entry.package in wrong}
        for name, entry in entries.items():
            if name in broken:
                self._trials.fail(entry, wrong[entry.package], ran=False)
            else:
                self._state.installed[name] = entry.sha256
        if broken:
            self.settle()  # the way back
        return broken

    def _start(self, entry: Entry) -> None:
        start = self._services.start
        self._trials.begin(entry, lambda done: start(entry.name, entry.version, entry.config, done), self.mark)

    def _begin(self, received: Received) -> bool:
        """Whether there is room on flash for what is to be."""
        try:
            self._journal.begin(received, self._staged)
        except OSError:
            return False
        return True

    def _keep(self) -> None:
        """Let go of the packages to which nothing returns: a flash with room for few has it for the next."""
        under_way = [attempt.entry for attempt in self._trials.under_way.values()]
        keep = [*self._state.running.values(), *self._state.before.values(), *under_way]
        keep += [entry for entry in self._entries if not self._passes.has_run(entry)]
        self._journal.keep({entry.sha256 for entry in keep})

    def _conclude(self) -> None:
        """What is so now goes to flash."""
        self._journal.save(self._state)
        self._keep()
        self._passes.save(self._entries)

    def _ended(self, name: str, error: str | None) -> None:
        """A start or a new configuration ended."""
        self._answer(name, error)
        if error:
            self.settle()  # the way back
        elif fault := self._save():
            log.error("%s; a restart now would start service %s anew", fault, name)
        self._look_later()
        self._known()

    def _known(self) -> None:
        """In the middle of a settle a report would tell of things that are not as they will be in a moment."""
        if self._turns.busy:
            self._turns.news = True
        else:
            self.on_known()

    def _drop(self, names: set[str]) -> None:
        """These services end; nobody waits for them any more."""
        self._trials.drop(names)
        for name in names:
            self._answer(name, "it was stopped")

    def _answer(self, name: str, error: str | None) -> None:
        for done in self._asked.pop(name, ()):
            done(error)

    # -- what is known

    @property
    def _entries(self) -> tuple[Entry, ...]:
        return self.received.assignment.services if self.received else ()

    def _entry(self, name: str) -> Entry:
        for entry in self._entries:
            if entry.name == name:
                return entry
        raise NotFoundError(f"service {name} does not run on this router")

    def _follow(self, received: Received) -> None:
        self.received = received
        self._passes.follow(received.assignment)
        self._trials.follow(self._entries)
        orders, held = {entry.name: entry.order for entry in self._entries}, self._state.held
        for name in [name for name, order in held.items() if orders.get(name) != order]:
            del held[name]

    def _may_run(self, entry: Entry) -> bool:
        return self._passes.state(entry) == "open"

    def _save(self) -> str | None:
        try:
            self._journal.save(self._state)
        except OSError as error:
            return _FLASH.format(error.strerror or error)
        return None

    # -- time

    def _look_later(self) -> None:
        """Look again when an entry's time begins or ends, when a failed one is due, when a new one has stayed up."""
        if self._timer:
            self._timer.cancel()
        due = self._due_in()
        waits = [self._passes.next_look(self._entries), None if due is None else max(due, 1.0)]
        waits.append(max(self._passes.next_save(), 1.0))
        wait = min(wait for wait in waits if wait is not None)
        self._timer = self._loop.after(max(wait, 1.0 if self._turns.busy else 0.001), self._look)

    def _due_in(self) -> float | None:
        """Seconds until a settle has something to do, but for the clock."""
        if {e.name for e in self._entries if self._may_run(e)} != self._settled:
            return 0.0
        waits = [self._trials.retries.wait(self._settled - self._trials.under_way.keys()), self._trials.wait()]
        if self._stuck:
            waits.append(max(0.0, self._stuck_at + self.STOP_AGAIN - self._clock.monotonic()))
        return min((wait for wait in waits if wait is not None), default=None)

    def _look(self) -> None:
        self._passes.save(self._entries)
        if self._turns.busy:  # with the package manager, which may wait for another; passes end on time all the same
            over = {e.name for e in self._entries if self._passes.state(e) == "ended"} & self._services.listing().keys()
            self._drop(over)
            for name in over:
                self._services.stop(name, lambda error: None)
        elif self._due_in() == 0.0:
            self.settle()
            return
        self._look_later()
