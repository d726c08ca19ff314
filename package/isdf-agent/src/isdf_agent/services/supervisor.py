"""Which services run, through procd: start, readiness, configuration, failure, end.

A start is done when the service called `ready`, and failed when it reported an error, procd gave it up
(`instance.fail`), or it said nothing for `ready_timeout`. What a service owns on the line stays while its process is
exchanged, and goes when the service is stopped or given up. What runs is noted in a file in memory, so that an agent
that comes back after a crash adopts the services that never stopped.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from isdf.errors import InvalidError, IsdfError, NotFoundError, NotPermittedError, UnavailableError
from isdf.loop import Loop, Timer
from isdf.model import parse_name

from .ports import Owners, Procd

log = logging.getLogger(__name__)

Done = Callable[[str | None], None]
PREFIX = "isdf-service-"
_LOG = "what it said is in the router's log (logread)"


@dataclass(slots=True)
class Service:
    """A service on this router. `state`: starting, running, failed, or stopped (by the customer)."""

    name: str
    version: str
    config: dict
    revision: int = 1
    state: str = "starting"
    since: float = field(default_factory=time.time)
    error: str | None = None


class Supervisor:
    """Starts, reconfigures and stops services; one operation a service at a time."""

    def __init__(
        self, procd: Procd, owners: Owners, loop: Loop, *, folder: Path, notes: Path, ubus: Path, passwd: Path,
        ready_timeout: float,
    ) -> None:  # fmt: skip
        self._procd, self._owners, self._loop = procd, owners, loop
        self._folder, self._notes, self._ubus, self._passwd = folder, notes, ubus, passwd
        self._ready_timeout = ready_timeout
        self._services: dict[str, Service] = {}
        self._waiting: dict[str, tuple[Done, Timer]] = {}  # a start or a new configuration that is not ready yet
        self._polls: dict[str, Callable[[dict], None]] = {}  # a service that waits for its next configuration
        self.on_failure: Callable[[str, str], None] = lambda name, error: None  # a running service was given up

    # -- what delivery asks for

    def versions(self) -> dict[str, str]:
        """Name and version of each service that was started and not stopped since."""
        return {s.name: s.version for s in self._services.values()}

    def start(self, name: str, version: str, config: dict, done: Done) -> None:
        """Start `name`, or exchange its process where another version runs; `done(None)` when it is ready."""
        before = self._services.get(name)
        service = Service(name, version, config, revision=before.revision + 1 if before else 1)
        self._polls.pop(name, None)  # of a process that is exchanged now
        self._services[name] = service
        self._owners.begin(name)
        self._expect_ready(service, done)
        self._save()
        if not self._has_user(name):
            # procd passes over a user that does not exist, and runs the process as root.
            self._not_ready(name, f"its user isdf-{name} is not in {self._passwd}; install its package again")
            return
        self._procd.set(PREFIX + name, self._instance(service), lambda error: error and self._not_ready(name, error))

    def reconfigure(self, name: str, config: dict, done: Done) -> None:
        """Hand a running service another configuration; where it cannot take it, the one before is handed again."""
        service = self._known(name)
        if service.state == "failed":  # nothing else would start it
            self.start(name, service.version, config, done)
            return
        if service.state != "running":  # it takes the configuration when it starts
            service.config, service.revision = config, service.revision + 1
            self._save()
            done(None)
            return
        before = service.config

        def finished(error: str | None) -> None:
            if error:
                self._deliver(service, before)
                service.state = "running"
            done(error)

        self._deliver(service, config)
        self._expect_ready(service, finished)

    def stop(self, name: str, done: Done) -> None:
        """End `name` and all that it has on the line."""
        self._services.pop(name, None)
        self._finish(name, "it was stopped")
        self._save()

        def ended(error: str | None) -> None:
            self._owners.withdraw(name)
            done(error)

        # Also where it is not known: an agent that lost its notes must not leave a process behind.
        self._procd.delete(PREFIX + name, ended)

    # -- what a service says, over the bus

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
        reply({"revision": service.revision, "config": service.config})

    def ready(self, name: str, revision: int | None) -> None:
        """All that `name` wants has been asked for; an answer to an older configuration counts for nothing."""
        service = self._known(name)
        if revision is not None and revision != service.revision:
            return
        self._owners.ready(name)
        if service.state in ("starting", "failed"):  # late is not never: it was not ended
            service.state, service.since = "running", time.time()
        service.error = None
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

    def exited(self, name: str, exit_code: int, given_up: bool) -> None:
        """A process of `name` ended by itself; `given_up`: procd does not start it again."""
        service = self._services.get(name)
        if service is None:
            return
        how = f"ended with status {exit_code}" if exit_code < 128 else f"was ended by signal {exit_code - 128}"
        service.error = service.error or f"the process {how}; {_LOG}"
        log.warning("service %s %s%s", name, how, ", and again and again; procd gave it up" if given_up else "")
        self._polls.pop(name, None)
        if not given_up:
            return
        if name in self._waiting:
            self._not_ready(name, service.error)
        if service.state != "running":  # who started it was told, and may be on the way back to another version
            return
        service.state = "failed"
        self._owners.withdraw(name)
        self._save()
        self.on_failure(name, service.error)

    # -- what people ask for

    def listing(self) -> dict[str, dict]:
        """Each service with its state, for `status` and the report."""
        keys = ("version", "state", "since", "error", "revision")
        return {s.name: {k: getattr(s, k) for k in keys} for s in self._services.values()}

    def hold(self, name: str, done: Done) -> None:
        """The customer stops `name`; it stays installed, and `release` starts it again."""
        service = self._known(name)
        self._finish(name, "it was stopped")
        service.state, service.since = "stopped", time.time()
        self._save()

        def ended(error: str | None) -> None:
            self._owners.withdraw(name)
            done(error)

        self._procd.delete(PREFIX + name, ended)

    def release(self, name: str, done: Done) -> None:
        """The inverse of `hold`; also another try for a service that failed."""
        service = self._known(name)
        if service.state in ("running", "starting"):
            done(None)
        else:
            self.start(name, service.version, service.config, done)

    # -- the agent's own restart

    def adopt(self, done: Callable[[], None]) -> None:
        """After a restart of the agent: services noted as running that procd still runs go on untouched."""
        noted = self._load()

        def listed(instances: dict[str, dict]) -> None:
            for service in noted:
                instance = instances.get(PREFIX + service.name, {})
                runs = instance.get("running") and instance.get("env", {}).get("ISDF_VERSION") == service.version
                if service.state in ("stopped", "failed"):
                    self._services[service.name] = service
                elif runs:
                    self._services[service.name] = service
                    if service.state == "starting":
                        self._expect_ready(service, lambda error: None)
                else:
                    log.info("service %s does not run any more; it is started again", service.name)
            self._save()
            done()

        self._procd.list(listed)

    # -- inside

    def _instance(self, service: Service) -> dict:
        # Where the package put our modules, which is not among Python's own folders.
        path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        own = {"ISDF_VERSION": service.version, "UBUS_SOCKET": str(self._ubus), "PYTHONDONTWRITEBYTECODE": "1"}
        # procd leaves a process alone whose description is the same: one that hangs would never be exchanged.
        own["ISDF_START"] = str(service.revision)
        return {
            "command": ["/usr/bin/python3", "-m", "isdf.sdk", str(self._folder / service.name)],
            "user": f"isdf-{service.name}",
            "group": "isdf",
            "respawn": ["300", "2", "4"],
            "env": own | path,
            "stdout": True,
            "stderr": True,
            "no_new_privs": True,
            "term_timeout": 2,  # seconds; the agent cleans up after it, and its successor waits for its end
        }

    def _has_user(self, name: str) -> bool:
        try:
            lines = self._passwd.read_text(errors="replace").splitlines()
        except OSError:
            return False
        users = {fields[0]: fields[2] for line in lines if len(fields := line.split(":")) > 2}
        return users.get(f"isdf-{name}", "0") not in ("", "0")

    def _known(self, name: str) -> Service:
        if name not in self._services:
            raise NotFoundError(f"service {name} does not run on this router")
        return self._services[name]

    def _deliver(self, service: Service, config: dict) -> None:
        service.config, service.revision = config, service.revision + 1
        self._save()
        if poll := self._polls.pop(service.name, None):
            self._owners.begin(service.name)
            poll({"revision": service.revision, "config": service.config})

    def _expect_ready(self, service: Service, done: Done) -> None:
        self._finish(service.name, "it was asked for anew")
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
        """A full tmpfs is logged, not raised: who fills it must not thereby keep a service from being ended."""
        beside = self._notes.with_suffix(".new")
        try:
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps([asdict(s) for s in self._services.values()]))
            os.replace(beside, self._notes)
        except OSError as error:
            log.error("%s cannot be written (%s); a restart now would start services anew", self._notes, error)

    def _load(self) -> list[Service]:
        try:
            return [Service(**note) for note in json.loads(self._notes.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            log.error("%s is not readable (%s); services are started anew", self._notes, error)
            return []


def parse_service_argument(value: object) -> str:
    """The name of a service in a call of a person; `InvalidError` where there is none."""
    if not isinstance(value, str) or not value:
        raise InvalidError('argument \'service\' names the service, for example {"service": "pay-per-site"}')
    return parse_name(value, "service")
