"""The agent on ubus: the one module that speaks it.

Objects `isdf`, `isdf.service` and `isdf.control`; procd's object `service` as a client. Who calls is what ubusd says:
user `isdf-<name>` is the service of that name, root is the owner `local`. Errors that need words travel in the reply,
`{"error": {"type", "title", "detail"}}`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from isdf.errors import FailedError, HostNotFoundError, InvalidError, IsdfError, NotPermittedError, UnavailableError
from isdf.formats.assignment import PREFIX
from isdf.log import Log
from isdf.model import Flow
from isdf.protocol import Protocol
from isdf.ubus import Connection, Method, Request, Status, StatusError, Subscription, connect

from .policy.grants import LOCAL
from .policy.policy import Policy
from .services.supervisor import Supervisor, parse_service_argument

log = Log(__name__)


class Speaking(Protocol):
    """What is there to be said and asked before a router is enrolled, too."""

    def status(self) -> dict: ...

    def pull(self) -> None: ...

    def interface_changed(self) -> None: ...


class Agent(Speaking, Protocol):
    """What `app` offers to the bus."""

    def hold(self, service: str, done: Callable[[str | None], None]) -> None: ...

    def release(self, service: str, done: Callable[[str | None], None]) -> None: ...


class Hosts(Protocol):
    """Who follows names (`isdf_agent.monitor.hosts`)."""

    def resolve(self, name: str, done: Callable[[IsdfError | None], None]) -> None: ...


def owner_of(request: Request) -> str:
    """The owner on whose behalf a call is made; `NotPermittedError` for users that own nothing."""
    if request.user == "root":
        return LOCAL
    if request.user.startswith("isdf-") and request.user != f"isdf-{LOCAL}":
        return request.user.removeprefix("isdf-")
    raise NotPermittedError(f"user {request.user} is neither root nor that of a service (isdf-<name>)")


def publish_agent(bus: Connection, agent: Speaking) -> None:
    """Offer the object `isdf` on `bus`."""

    def status(request: Request) -> dict:
        return agent.status()

    def pull(request: Request) -> dict:
        agent.pull()
        return {}

    def interface_changed(request: Request) -> dict:
        agent.interface_changed()
        return {}

    handlers = {"status": status, "pull": pull, "interface_changed": interface_changed}
    bus.add("isdf", {name: Method(handler, {}) for name, handler in handlers.items()})


def publish(bus: Connection, agent: Agent, supervisor: Supervisor, policy: Policy, hosts: Hosts) -> None:
    """Offer the agent's objects on `bus`."""
    publish_agent(bus, agent)
    _publish_service(bus, agent, supervisor)
    _publish_control(bus, supervisor, policy, hosts)


def _publish_service(bus: Connection, agent: Agent, supervisor: Supervisor) -> None:
    def listing(request: Request) -> dict:
        return {"services": supervisor.listing()}

    def switch(operation: Callable) -> Callable[[Request], None]:
        def handle(request: Request) -> None:
            if request.user != "root":
                raise StatusError(Status.PERMISSION_DENIED)
            name = parse_service_argument(request.args.get("service"))
            request.defer()
            operation(name, lambda error: request.reply({"error": FailedError(error).as_dict()} if error else {}))

        return handle

    def config(request: Request) -> dict | None:
        name, after, version = _service_of(request), _revision(request, "after"), request.args.get("version")
        if request.user == "root" and version is None:  # a person who looks; the service's own question stays
            return supervisor.current(name)
        request.defer()
        supervisor.config(name, after, request.reply, version)
        return None

    def ready(request: Request) -> dict:
        supervisor.ready(_service_of(request), _revision(request, "revision"))
        return {}

    def report(request: Request) -> dict:
        error = str(request.args.get("error") or "it reported an error without words")[:2048]
        supervisor.report(_service_of(request), error, _revision(request, "revision"))
        return {}

    bus.add(
        "isdf.service",
        {
            "list": Method(listing, {}),
            "start": Method(switch(agent.release), {"service": "str"}),
            "stop": Method(switch(agent.hold), {"service": "str"}),
            "config": Method(config, {"after": "int", "version": "str"}),
            "ready": Method(ready, {"revision": "int"}),
            "report": Method(report, {"error": "str", "revision": "int"}),
        },
    )


def _publish_control(bus: Connection, supervisor: Supervisor, policy: Policy, hosts: Hosts) -> None:
    def asking(request: Request) -> str:
        owner = owner_of(request)
        if owner != LOCAL:
            supervisor.check_asks(owner)
        return owner

    def add_class(request: Request) -> dict:
        a = request.args
        return policy.add_class(
            asking(request), a.get("name"), a.get("rate"), a.get("ceil"), a.get("up"), a.get("up_ceil")
        )

    def remove_class(request: Request) -> dict:
        policy.remove_class(owner_of(request), request.args.get("name"))
        return {}

    def add_class_member(request: Request) -> dict | None:
        owner, name = asking(request), request.args.get("name")
        flow = Flow.parse(request.args.get("flow"))
        lease = policy.add_class_member(owner, name, flow, request.args.get("duration"))
        answer = {"lease": lease.id, "active": lease.active}
        if flow.host is None or flow.host.startswith("*.") or policy.knows(flow.host):
            return answer
        request.defer()

        def resolved(error: IsdfError | None) -> None:
            if isinstance(error, HostNotFoundError):
                try:
                    policy.remove_class_member(owner, lease.id)
                except IsdfError as other:  # it went meanwhile with its service, or the kernel keeps it for now
                    log.warning("a member for %s: %s", flow.host, other)
                request.fail(error)
            else:
                request.reply(answer | ({"warning": str(error)} if error else {}))

        hosts.resolve(flow.host, resolved)
        return None

    def remove_class_member(request: Request) -> dict:
        policy.remove_class_member(owner_of(request), request.args.get("lease"))
        return {}

    def listing(request: Request) -> dict:
        owner = owner_of(request)
        return policy.list(None if owner == LOCAL else owner)

    bus.add(
        "isdf.control",
        {
            "add_class": Method(
                add_class, {"name": "str", "rate": "int", "ceil": "int", "up": "int", "up_ceil": "int"}
            ),
            "remove_class": Method(remove_class, {"name": "str"}),
            "add_class_member": Method(add_class_member, {"name": "str", "flow": "dict", "duration": "int"}),
            "remove_class_member": Method(remove_class_member, {"lease": "str"}),
            "list": Method(listing, {}),
        },
    )


def end_all(socket: str, patience: float = 10.0) -> None:
    """End our services at procd, for good. An agent that is ending is waited for, since it would start them again;
    `FailedError` where one is still there after `patience` seconds. Without a ubusd there is nobody to end."""
    try:
        bus = connect(socket)
    except UnavailableError:
        return
    try:
        _end_all(bus, patience)
    finally:
        bus.close()


def _end_all(bus: Connection, patience: float) -> None:
    deadline = time.monotonic() + patience
    while bus.objects("isdf"):
        if time.monotonic() > deadline:
            raise FailedError("isdf-agent runs; end it first: /etc/init.d/isdf-agent stop")
        time.sleep(0.05)
    if bus.objects("service"):
        for name in bus.call("service", "list", {}):
            if name.startswith(PREFIX):
                bus.call("service", "delete", {"name": name})


def _service_of(request: Request) -> str:
    """The calling service; root names one (`{"service": ...}`)."""
    owner = owner_of(request)
    return parse_service_argument(request.args.get("service")) if owner == LOCAL else owner


def _revision(request: Request, key: str) -> int | None:
    value = request.args.get(key)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)  # of a shell script
    if value is not None and type(value) is not int:
        raise InvalidError(f"argument {key!r} is {str(value)[:64]!r}; it takes the number of a revision")
    return value


class Procd:
    """procd's object `service` (see `services.ports.Procd`).

    What is to be set or deleted is said again while ubusd or procd is away: a lost `delete` would leave a process that
    nobody ends any more.
    """

    TIMEOUT = 10.0
    PATIENCE, RETRY = 60.0, 0.5  # seconds

    def __init__(self, bus: Connection) -> None:
        self._bus = bus
        self._subscription: Subscription | None = None
        self._newest: dict[str, object] = {}  # by service: what was asked for last

    def set(self, name: str, instance: dict, done: Callable[[str | None], None]) -> None:
        self._call("set", {"name": name, "instances": {"main": instance}}, done)

    def delete(self, name: str, done: Callable[[str | None], None]) -> None:
        self._call("delete", {"name": name}, done, fine=(Status.OK, Status.NOT_FOUND))

    def list(self, done: Callable[[dict[str, dict] | None], None]) -> None:
        def listed(status: int, reply: dict) -> None:
            if status != Status.OK:
                log.error("procd does not list its services: %s", StatusError(status))
                done(None)
                return
            ours = {name: told.get("instances") or {} for name, told in reply.items() if name.startswith(PREFIX)}
            done({name: instances["main"] for name, instances in ours.items() if "main" in instances})

        self._bus.call_async("service", "list", {}, listed, timeout=self.TIMEOUT)

    def watch(self, exited: Callable[[str, int, bool, int | None], None], returned: Callable[[], None]) -> None:
        """Call `exited(service, exit status, given up, process)` for each end of one of our services that procd tells,
        and `returned()` when procd is there (again): what it told meanwhile is lost."""

        def notified(kind: str, data: dict) -> None:
            name = str(data.get("service", ""))
            if kind in ("instance.respawn", "instance.fail") and name.startswith(PREFIX):
                failed = kind == "instance.fail"
                exited(name.removeprefix(PREFIX), int(data.get("exit_code", 0)), failed, data.get("pid"))

        self._subscription = self._bus.subscribe("service", notified, lambda present: present and returned())

    def _call(self, method: str, args: dict, done: Callable, fine: tuple[int, ...] = (Status.OK,)) -> None:
        until = time.monotonic() + self.PATIENCE
        name = args["name"]

        def ask() -> None:
            if self._newest[name] is ask:
                self._bus.call_async("service", method, args, answered, timeout=self.TIMEOUT)
            else:
                done(None)  # the opposite was asked for since

        def answered(status: int, reply: dict) -> None:
            # "Not found" is an answer of procd only where procd is there.
            away = status == Status.CONNECTION_FAILED or (status == Status.NOT_FOUND and not self._is_there())
            if away and time.monotonic() < until:
                self._bus.later(self.RETRY, ask)
            else:
                fault = away or status not in fine
                done(f"procd did not {method} {name}: {StatusError(status)}" if fault else None)

        self._newest[name] = ask
        ask()

    def _is_there(self) -> bool:
        return self._subscription is not None and self._subscription.present
