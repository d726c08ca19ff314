"""Which services run, through procd: start, readiness, configuration, failure, end.

A start is done when the service called `ready`, and failed when it reported an error, procd gave it up
(`instance.fail`), or it said nothing for `ready_timeout`. What a service owns on the line stays while its process is
exchanged, and goes when the service is stopped or given up. What runs is noted in a file in memory, so that an agent
that comes back after a crash adopts the services that never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from isdf.errors import InvalidError, IsdfError, NotFoundError, NotPermittedError, UnavailableError
from isdf.formats.assignment import PREFIX
from isdf.log import Log
from isdf.loop import Loop, Timer
from isdf.model import parse_name
from isdf.path import Path

from . import census
from .instance import has_user, instance
from .notes import Notes, Service
from .output import LastWords
from .ports import Owners, Procd

log = Log(__name__)

Done = Callable[[str | None], None]
Words = Callable[[tuple[int | None, str | None]], None]
_ANEW, _STOPPED = "it was asked for anew", "it was stopped"
_LOG = "what it said is in the router's log (logread)"


class Supervisor:
    """Starts, reconfigures and stops services; one operation a service at a time."""

    def __init__(
        self, procd: Procd, owners: Owners, loop: Loop, *, folder: Path, notes: Path, ubus: Path, passwd: Path,
        ready_timeout: float,
    ) -> None:  # fmt: skip
        self._procd, self._owners, self._loop = procd, owners, loop
        self._folder, self._ubus, self._passwd = folder, ubus, passwd
        self._notes, self._words = Notes(notes), LastWords(procd, loop)
        self._ready_timeout = ready_timeout
        self._services: dict[str, Service] = {}
        self._waiting: dict[str, tuple[Done, Timer]] = {}  # a start or a new configuration that is not ready yet
        self._polls: dict[str, Callable[[dict], None]] = {}  # a service that waits for its next configuration
        self._asking: dict[str, int] = {}  # how many questions to procd are under way
        self._adopted = False
        self.on_failure: Callable[[str, str], None] = lambda name, error: None  # a running service was given up

    # -- what delivery asks for

    def versions(self) -> dict[str, str]:
        """Name and version of each service that was started and not stopped since."""
        return {s.name: s.version for s in self._services.values() if s.state != "stopped"}

    def start(self, name: str, version: str, config: dict, done: Done) -> None:
        """Start `name`, or exchange its process where one runs; `done(None)` when it is ready."""
        before = self._services.get(name)
        service = Service(name, version, config, revision=before.revision + 1 if before else 1)
        self._polls.pop(name, None)  # of a process that is exchanged now
        self._words.begin(name)
        self._services[name] = service
        self._owners.begin(name)
        self._expect_ready(service, done)
        self._save()
        if not has_user(name, self._passwd):
            # The process would be root's.
            self._not_ready(name, f"its user isdf-{name} is not in {self._passwd}; install its package again")
            return
        description = instance(name, version, service.revision, folder=self._folder, ubus=self._ubus)
        asked = self._ask(name, lambda error: error and self._not_ready(name, error))
        self._procd.set(PREFIX + name, description, asked)

    def reconfigure(self, name: str, config: dict, done: Done) -> None:
        """Hand a running service another configuration; where it cannot take it, the last good one is handed again."""
        service = self._known(name)
        if service.state != "running":
            self.start(name, service.version, config, done)
            return

        def finished(error: str | None) -> None:
            if error and service.state == "running" and error not in (_ANEW, _STOPPED):
                self._deliver(service, service.good)
            done(error)

        self._expect_ready(service, finished)
        self._deliver(service, config)

    def stop(self, name: str, done: Done) -> None:
        """End `name` and all that it has on the line."""
        self._services.pop(name, None)
        self._end(name, done)

    def hold(self, name: str, version: str, config: dict, done: Done) -> None:
        """The customer stopped `name`: it ends, and is known as stopped."""
        before = self._services.get(name)
        service = self._services[name] = Service(
            name, version, config, revision=before.revision + 1 if before else 1, state="stopped"
        )
        if before and before.state == "stopped":
            service.since = before.since
        self._end(name, done)

    def last_words(self, name: str, done: Words) -> None:
        """How the process of `name` ended since its start (None: it did not), and the last that it printed."""
        self._words.of(name, done)

    # -- what a service says, over the bus

    def current(self, name: str) -> dict:
        """The configuration of `name` with its revision, for people: it is no question of the service."""
        service = self._known(name)
        return {"revision": service.revision, "config": service.config}

    def config(self, name: str, after: int | None, reply: Callable[[dict], None], version: object = None) -> None:
        """Call `reply` with the configuration of `name` as soon as its revision is another than `after`.

        A process that says of which `version` it is gets none for another: its end, or its successor, is on the way.
        """
        service = self._known(name)
        if version not in (None, service.version):
            raise UnavailableError(f"service {name} is {service.version} from now on, not {str(version)[:64]}")
        if service.revision == after:
            self._polls[name] = reply
            return
        self._owners.begin(name)
        reply(self.current(name))

    def ready(self, name: str, revision: int | None) -> None:
        """All that `name` wants has been asked for; an answer to an older configuration counts for nothing."""
        service = self._known(name)
        if revision is not None and revision != service.revision:
            return
        self._owners.ready(name)
        if service.state in ("starting", "failed"):  # late is not never: it was not ended
            service.state, service.since = "running", time.time()
        service.error, service.good = None, service.config
        self._save()
        self._finish(name, None)

    def report(self, name: str, error: str, revision: int | None) -> None:
        """`name` cannot do what it was configured for."""
        service = self._known(name)
        if revision is None or revision == service.revision:
            log.error("service %s: %s", name, error)
            service.error = error
            self._not_ready(name, error)

    def check_asks(self, name: str) -> None:
        """Whether `name` may ask for more; nobody would end what a process asks for that is about to be killed."""
        service = self._services.get(name)
        if service is None:  # gone, or the agent has come back and has not found it yet
            raise UnavailableError(f"service {name} does not run on this router")
        if service.state == "stopped":
            raise NotPermittedError(f"service {name} is stopped; start it first: isdf.service start")

    # -- what procd says

    def exited(self, name: str, exit_code: int, given_up: bool, pid: int | None = None) -> None:
        """A process of `name` ended by itself; `given_up`: procd does not start it again."""
        service = self._services.get(name)
        if service is None or service.state == "stopped":
            return
        self._words.ended(name, exit_code, pid)
        how = f"ended with status {exit_code}" if exit_code < 128 else f"was ended by signal {exit_code - 128}"
        log.warning("service %s %s%s", name, how, ", and again and again; procd gave it up" if given_up else "")
        self._gone(service, f"the process {how}; {_LOG}", given_up)

    def reconcile(self) -> None:
        """procd's notifications may have been lost: believe its list.

        What was asked of procd and is not answered yet is as it will be, not as the list says.
        """
        if not self._adopted:
            return
        sure = {name: s for name, s in self._services.items() if name not in self._asking}

        def listed(instances: dict[str, dict] | None) -> None:
            if instances is None:
                return  # it went again, and comes again
            still = [s for n, s in sure.items() if self._services.get(n) is s and n not in self._asking]
            for service, status in list(census.dead(still, instances)):
                if status is None:
                    self._gone(service, "procd does not run it any more", given_up=True)
                else:
                    self.exited(service.name, status, given_up=True)
            self._end_surplus(instances)

        self._procd.list(listed)

    # -- what people see

    def listing(self) -> dict[str, dict]:
        """Each service with its state, for `status` and the report."""
        keys = ("version", "state", "since", "error", "revision")
        return {s.name: {k: getattr(s, k) for k in keys} for s in self._services.values()}

    # -- the agent's own restart

    def adopt(self, done: Callable[[], None]) -> None:
        """After a restart of the agent: services noted as running that procd still runs go on untouched.

        Where procd does not answer the notes are believed; it will be asked again when it is back.
        """
        noted = self._notes.load()

        def listed(instances: dict[str, dict] | None) -> None:
            for service in noted:
                found = (instances or {}).get(PREFIX + service.name, {})
                runs = found.get("running") and found.get("env", {}).get("ISDF_VERSION") == service.version
                if instances is None or runs or service.state in ("stopped", "failed"):
                    self._services[service.name] = service
                    if service.state == "starting":
                        self._expect_ready(service, lambda error: None)
                else:
                    log.info("service %s does not run any more; it is started again", service.name)
            self._save()
            self._adopted = True
            self._end_surplus(instances or {})
            done()

        self._procd.list(listed)

    # -- inside

    def _known(self, name: str) -> Service:
        if name not in self._services:
            raise NotFoundError(f"service {name} does not run on this router")
        return self._services[name]

    def _deliver(self, service: Service, config: dict) -> None:
        service.config, service.revision = config, service.revision + 1
        self._save()
        if poll := self._polls.pop(service.name, None):
            self._owners.begin(service.name)
            poll(self.current(service.name))

    def _end(self, name: str, done: Done) -> None:
        self._polls.pop(name, None)
        self._finish(name, _STOPPED)
        self._save()

        def ended(error: str | None) -> None:
            if name not in self._services or self._services[name].state == "stopped":
                self._owners.withdraw(name)
            done(error)

        # Also where it is not known: an agent that lost its notes must not leave a process behind.
        self._procd.delete(PREFIX + name, self._ask(name, ended))

    def _end_surplus(self, instances: dict[str, dict]) -> None:
        known = {name for name, service in self._services.items() if service.state != "stopped"}
        for name in census.surplus(instances, known | self._asking.keys()):
            log.warning("service %s should not run any more; it is ended", name)
            self._procd.delete(PREFIX + name, self._ask(name, lambda error: None))

    def _ask(self, name: str, done: Done) -> Done:
        """Count a question to procd until `done` has its answer."""
        self._asking[name] = self._asking.get(name, 0) + 1

        def answered(error: str | None) -> None:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]
            done(error)

        return answered

    def _gone(self, service: Service, error: str, given_up: bool) -> None:
        name = service.name
        service.error = service.error or error
        self._polls.pop(name, None)
        if not given_up:
            return
        was = service.state
        service.state = "failed"
        if name in self._waiting:  # who waits is told, and what it had before is there again until something follows
            self._not_ready(name, service.error)
        elif was == "running":
            self._owners.withdraw(name)
            self._save()
            self.on_failure(name, service.error)

    def _expect_ready(self, service: Service, done: Done) -> None:
        self._finish(service.name, _ANEW)
        sentence = f"it did not call ready within {self._ready_timeout:g} s; {_LOG}"
        late = self._loop.after(self._ready_timeout, lambda: self._not_ready(service.name, service.error or sentence))
        self._waiting[service.name] = (done, late)

    def _not_ready(self, name: str, error: str) -> None:
        service = self._services.get(name)
        if service and service.state == "starting":
            service.state = "failed"
        if service:
            service.error = error
        try:
            self._owners.abort(name)  # what was on the line before it tried is there again
        except IsdfError as failure:
            log.error("what service %s had on the line before is not there again: %s", name, failure)
        self._save()
        self._finish(name, error)

    def _finish(self, name: str, error: str | None) -> None:
        done, late = self._waiting.pop(name, (None, None))
        if done:
            late.cancel()
            done(error)

    def _save(self) -> None:
        self._notes.save(self._services.values())


def parse_service_argument(value: object) -> str:
    """The name of a service in a call of a person; `InvalidError` where there is none."""
    if not isinstance(value, str) or not value:
        raise InvalidError('argument \'service\' names the service, for example {"service": "pay-per-site"}')
    return parse_name(value, "service")
