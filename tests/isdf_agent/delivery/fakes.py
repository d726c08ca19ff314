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
        self.clock = Clock(lambda: NOW + self.time - 1000 + self.skew, lambda: self.time)

    def after(self, seconds, callback):
        timer = Timer(self.time + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._count), timer))
        return timer

    def watch(self, fd, reader, writer=None):
        pass

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
    """Services that are ready at once, unless `broken` says why not; `slow` ones wait for `release`."""

    def __init__(self):
        self.running, self.log, self.broken, self.slow, self.held, self.steps = {}, [], {}, set(), {}, Steps()
        self.on_failure = lambda name, error: None

    def versions(self):
        return {name: version for name, (version, _) in self.running.items()}

    def configs(self):
        return {name: config for name, (_, config) in self.running.items()}

    def start(self, name, version, config, done):
        self.log.append(("start", name, version))
        self.steps.do(lambda: self.running.update({name: (version, config)}))
        self._end(name, version, config, done)

    def reconfigure(self, name, config, done):
        self.log.append(("reconfigure", name, config))
        version, before = self.running[name]
        error = self._error(name, version, config)
        self.steps.do(lambda: self.running.update({name: (version, before if error else config)}))
        done(error)

    def stop(self, name, done):
        if name in self.running:
            self.log.append(("stop", name))
            self.steps.do(lambda: self.running.pop(name))
        done(None)

    def listing(self):
        return {
            n: {"version": v, "state": "running", "since": NOW, "error": None} for n, (v, _) in self.running.items()
        }

    def release(self, name):
        self.held.pop(name)()

    def _error(self, name, version, config):
        return self.broken.get((name, version)) or self.broken.get((name, str(config)))

    def _end(self, name, version, config, done):
        if name in self.slow:
            self.held[name] = lambda: done(self._error(name, version, config))
        else:
            done(self._error(name, version, config))


class Router:
    """A rollout on a folder; `reboot` makes a new one on the same flash."""

    def __init__(self, folder, operator):
        self.folder, self.operator = folder, operator
        self.loop, self.installer, self.services = FakeLoop(), FakeInstaller(), FakeServices()
        self.boot()

    def boot(self):
        self.journal = Journal(self.folder / "flash")
        self.rollout = Rollout(self.loop, self.services, self.installer, self.journal, self.loop.clock)

    def restart(self, *, reboot=False):
        """The agent comes back, after a crash of its own or (`reboot`) of all."""
        for part in (self.installer, self.services):
            part.steps = Steps()
        if reboot:
            self.services.running.clear()
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

    def clear(self):
        self.installer.log.clear()
        self.services.log.clear()

    @property
    def log(self):
        return self.installer.log + self.services.log

    def files(self):
        return sorted(path.relative_to(self.folder / "flash").as_posix() for path in self.folder.rglob("flash/**/*.*"))
