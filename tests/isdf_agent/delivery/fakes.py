"""A router in memory: time that a test moves, services and a package manager that do what a test says, and crashes."""

import heapq
import itertools
from pathlib import Path

from simulator import NOW

from isdf.formats import ipk
from isdf.loop import Timer
from isdf_agent.delivery.clock import Clock
from isdf_agent.delivery.journal import Journal, Received
from isdf_agent.delivery.rollout import Rollout


class Crash(BaseException):
    """The power goes; nothing in the code may catch it."""


class FakeLoop:
    """Timers on a clock of its own: `advance` moves it. Monotonic time begins at 1000; `skew` moves the wall alone."""

    def __init__(self) -> None:
        self.time, self.skew = 1000.0, 0.0
        self._timers, self._count = [], itertools.count()
        self.clock = self._clock()

    def _clock(self):
        return Clock(lambda: NOW + self.time - 1000 + self.skew, lambda: self.time)

    def after(self, seconds, callback):
        timer = Timer(self.time + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._count), timer))
        return timer

    def watch(self, fd, reader, writer=None):
        pass

    def forget(self):
        """What was to come does not, and what was learned of the time is lost, as with the end of a process."""
        self._timers.clear()
        self.clock = self._clock()

    def advance(self, seconds):
        """Let `seconds` pass, and all that is due in them happen."""
        until = self.time + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heapq.heappop(self._timers)
            self.time = max(self.time, when)
            callback, timer.callback = timer.callback, None
            if callback:
                callback()
        self.time = until


class Steps:
    """Counts what is done, and crashes at step `crash_at` (from 0): before it has an effect, or after (`late`)."""

    def __init__(self, crash_at=None, late=False):
        self.crash_at, self.late, self.done = crash_at, late, 0

    def do(self, effect):
        here = self.done == self.crash_at
        self.done += 1
        if here and not self.late:
            raise Crash
        result = effect()
        if here:
            raise Crash
        return result


class FakeInstaller:
    """Packages by name with the SHA-like content that was installed; `refuse` names files' versions that fail."""

    def __init__(self):
        self.there, self.log, self.refuse, self.steps = {}, [], {}, Steps()

    def prepare(self, done):
        done(None)

    def installed(self):
        return dict(self.there)

    def install(self, packages, done):
        wrong = {}
        for package, (version, path) in packages.items():
            assert ipk.read(Path(path).read_bytes()).control["Version"] == version
            if (package, version) in self.refuse:
                wrong[package] = self.refuse[package, version]
            else:
                self.steps.do(lambda package=package, version=version: self.there.update({package: version}))
            self.log.append(("install", package, version))
        done(wrong)

    def remove(self, packages, done):
        for package in packages:
            self.steps.do(lambda package=package: self.there.pop(package, None))
            self.log.append(("remove", package))
        done({})


class FakeServices:
    """Services that are ready at once, unless `broken` says why not; `slow` ones wait for `release`.

    `running` are processes, `states` is what is listed: as with procd, the one may be there without the other. A
    process of a service in `immortal` cannot be ended.
    """

    def __init__(self):
        self.running, self.states, self.log, self.broken, self.slow, self.held = {}, {}, [], {}, set(), {}
        self.immortal, self.said, self.steps = set(), {}, Steps()
        self.on_failure = lambda name, error: None

    def versions(self):
        return {name: version for name, (version, _) in self.running.items()}

    def configs(self):
        return {name: config for name, (_, config) in self.running.items()}

    def start(self, name, version, config, done):
        self.log.append(("start", name, version))
        self._anew(name)
        self.steps.do(lambda: self.running.update({name: (version, config)}))
        self.states[name] = (version, "starting")

        def ended(error):
            self.states[name] = (version, "failed" if error else "running")
            done(error)

        self._end(name, version, config, ended)

    def reconfigure(self, name, config, done):
        self.log.append(("reconfigure", name, config))
        self._anew(name)
        version, before = self.running[name]
        self.steps.do(lambda: self.running.update({name: (version, config)}))

        def ended(error):
            if error:
                self.running[name] = (version, before)
            done(error)

        self._end(name, version, config, ended)

    def stop(self, name, done):
        if name in self.running:
            self.log.append(("stop", name))
        self._anew(name, "it was stopped")
        self.states.pop(name, None)
        self._kill(name, done)

    def hold(self, name, version, config, done):
        self.log.append(("hold", name))
        self._anew(name, "it was stopped")
        self.states[name] = (version, "stopped")
        self._kill(name, done)

    def listing(self):
        return {n: {"version": v, "state": s, "since": NOW, "error": None} for n, (v, s) in self.states.items()}

    def last_words(self, name, done):
        done(self.said.get(name, (None, "")))

    def release(self, name):
        """The slow start or new configuration of `name` ends."""
        self.held.pop(name)()

    def give_up(self, name, reason):
        """A process that was ready ends again and again."""
        version, _ = self.running.pop(name)
        self.states[name] = (version, "failed")
        self.on_failure(name, reason)

    def reboot(self):
        self.running.clear()
        self.states.clear()

    def _kill(self, name, done):
        if name in self.immortal:
            done("procd did not delete it: Timeout")
            return
        if name in self.running:
            self.steps.do(lambda: self.running.pop(name))
        done(None)

    def _anew(self, name, error="it was asked for anew"):
        if waiting := self.held.pop(name, None):
            waiting(error)

    def _end(self, name, version, config, done):
        def ended(error=None):
            done(error or self.broken.get((name, version)) or self.broken.get((name, str(config))))

        if name in self.slow:
            self.held[name] = ended
        else:
            ended()


class Router:
    """A rollout on a folder; `reboot` makes a new one on the same flash."""

    def __init__(self, folder, operator):
        self.folder, self.operator = folder, operator
        self.loop, self.installer, self.services = FakeLoop(), FakeInstaller(), FakeServices()
        self.boot()

    def boot(self):
        self.journal = Journal(self.folder / "flash")
        self.rollout = Rollout(self.loop, self.services, self.installer, self.journal, self.loop.clock)
        self.services.on_failure = self.rollout.gave_up

    def restart(self, *, reboot=False):
        """The agent comes back, after a crash of its own or (`reboot`) of all."""
        for part in (self.installer, self.services):
            part.steps = Steps()
        self.loop.forget()
        if reboot:
            self.services.reboot()
            self.loop.time += 60
        self.boot()
        self.rollout.settle()

    def staged(self):
        folder = self.folder / "staged"
        folder.mkdir(parents=True, exist_ok=True)
        for entry in self.operator.entries.values():
            (folder / entry.sha256).write_bytes(self.operator.packages[entry.filename])
        return {path.name: path for path in folder.iterdir()}

    def pull(self, *, eager=True, staged=None):
        """What the operator says now arrives and is carried out."""
        received = Received.parse(self.operator.assignment())
        self.rollout.settle(received, self.staged() if staged is None else staged, eager=eager)

    def told(self):
        """Version, state and error of each service, as the manager gets them."""
        return {line["name"]: (line["version"], line["state"], line["error"]) for line in self.rollout.report()[1]}

    def line(self, name):
        """All that the manager gets of a service; None where it is not in the report."""
        return next((line for line in self.rollout.report()[1] if line["name"] == name), None)

    def clear(self):
        self.installer.log.clear()
        self.services.log.clear()

    @property
    def log(self):
        return self.installer.log + self.services.log

    def files(self):
        return sorted(path.relative_to(self.folder / "flash").as_posix() for path in self.folder.rglob("flash/**/*.*"))
