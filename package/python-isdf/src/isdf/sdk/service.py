"""A service: a class with `configure`, and the process that runs it on the router."""

from __future__ import annotations

import os
import sys

from ..errors import IsdfError, UnavailableError
from ..loop import Loop
from ..ubus import Connection, Status, StatusError
from .control import Control, call

_AWAY = (Status.NOT_FOUND, Status.TIMEOUT, Status.CONNECTION_FAILED)  # the agent or ubusd is not there just now


class Service:
    """Subclass it in `service.py` and say in `configure` all that the service wants of the line.

    `configure` is called at the start and again with each new configuration, with the configuration's keys as
    arguments. What it asked for before and does not ask for again ends when it returns; what it asks for again stays
    untouched. An exception means that this configuration cannot be: the one before stays in force.
    """

    def __init__(self, control: Control) -> None:
        self.control = control

    def configure(self, **config) -> None:
        raise TypeError(f"{type(self).__name__} has no configure()")


def load(folder: str) -> type[Service]:
    """The subclass of `Service` in `folder`/service.py; `ImportError` where there is not exactly one."""
    sys.modules.pop("service", None)
    sys.path.insert(0, str(folder))
    try:
        import service
    finally:
        sys.path.remove(str(folder))
    mine = [c for c in vars(service).values() if isinstance(c, type) and c.__module__ == "service"]
    found = [c for c in mine if issubclass(c, Service)]
    if len(found) != 1:
        raise ImportError(f"{folder}/service.py defines {len(found)} subclasses of Service; it takes exactly one")
    return found[0]


def sentence_of(error: BaseException) -> str:
    """What went wrong, and where in service.py, for somebody who does not see the traceback."""
    if isinstance(error, IsdfError):
        return str(error)
    place, trace = "", error.__traceback__
    while trace and not isinstance(error, SyntaxError):  # which names the place itself
        if trace.tb_frame.f_globals.get("__name__") == "service":
            place = f" (service.py, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"


def report(bus: Connection, sentence: str, revision: int | None = None) -> None:
    """Tell the agent that the service cannot do what it was configured for (`revision` None: for the one in force)."""
    try:
        if revision is None:
            revision = call(bus, "isdf.service", "config", **identity())["revision"]
        call(bus, "isdf.service", "report", error=sentence[:2048], revision=revision)
    except IsdfError as error:
        say(f"the agent did not take the report: {error}")


def identity() -> dict[str, str]:
    """The version that procd started, so that a process which is being exchanged is not taken for its successor."""
    version = os.environ.get("ISDF_VERSION")
    return {"version": version} if version else {}


def say(sentence: str) -> None:
    """A line for the router's log, where procd calls every service python3."""
    print(f"service {os.path.basename(sys.argv[-1])}: {sentence}", file=sys.stderr, flush=True)


class Process:
    """The life of a service's process: configuration, `configure`, `ready`, and again at each new configuration.

    The agent may go and come back meanwhile (an upgrade, a crash): the subscription to its object tells, and the
    question for the next configuration is asked anew; leases outlive it in the kernel.
    """

    RETRY = 0.5  # seconds between tries while the agent is away

    def __init__(self, service: type[Service], bus: Connection, loop: Loop) -> None:
        self._service = service(Control(bus))
        self._bus, self._loop = bus, loop
        self._revision: int | None = None
        self._asked = 0
        self.exit_status = 0
        bus.subscribe("isdf.service", lambda kind, data: None, on_change=lambda present: self.ask())
        self.ask()

    def ask(self) -> None:
        """Ask for a configuration newer than the one in force; the answer comes when there is one."""
        self._asked += 1
        asked = self._asked
        args = identity() if self._revision is None else {"after": self._revision} | identity()

        def answered(status: int, reply: dict) -> None:
            if asked != self._asked:
                return  # asked anew since
            if status != 0 or "revision" not in reply:
                self._loop.after(self.RETRY, lambda: asked == self._asked and self.ask())
            else:
                self._configure(reply)

        self._bus.call_async("isdf.service", "config", args, answered, timeout=None)

    def _configure(self, reply: dict) -> None:
        try:
            self._service.configure(**reply["config"])
            call(self._bus, "isdf.service", "ready", revision=reply["revision"])
        except (Exception, SystemExit) as error:
            if isinstance(error, UnavailableError) or (isinstance(error, StatusError) and error.status in _AWAY):
                self._loop.after(self.RETRY, self.ask)  # it went away in the middle: all of it again, idempotently
                return
            sentence = sentence_of(error)
            say(f"configure failed: {sentence}")
            report(self._bus, sentence, reply["revision"])
            if self._revision is None:
                self.exit_status = 1
                self._loop.stop()
                return
        self._revision = reply["revision"]
        self.ask()
