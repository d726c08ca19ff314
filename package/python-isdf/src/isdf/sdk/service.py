"""A service: a class with `configure`, and the process that runs it on the router."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

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


def load(folder: Path) -> type[Service]:
    """The subclass of `Service` in `folder`/service.py; `ImportError` where there is not exactly one."""
    path = folder / "service.py"
    spec = importlib.util.spec_from_file_location("service", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module
    spec.loader.exec_module(module)
    found = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Service) and c.__module__ == "service"
    ]
    if len(found) != 1:
        raise ImportError(f"{path} defines {len(found)} subclasses of Service; it takes exactly one")
    return found[0]


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
        args = {} if self._revision is None else {"after": self._revision}

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
        except Exception as error:
            if isinstance(error, UnavailableError) or (isinstance(error, StatusError) and error.status in _AWAY):
                self._loop.after(self.RETRY, self.ask)  # it went away in the middle: all of it again, idempotently
                return
            sentence = str(error) if isinstance(error, IsdfError) else f"{type(error).__name__}: {error}"
            print(f"configure failed: {sentence}", file=sys.stderr, flush=True)
            self._report(sentence, reply["revision"])
            if self._revision is None:
                self.exit_status = 1
                self._loop.stop()
                return
        self._revision = reply["revision"]
        self.ask()

    def _report(self, sentence: str, revision: int) -> None:
        try:
            call(self._bus, "isdf.service", "report", error=sentence[:2048], revision=revision)
        except IsdfError as error:
            print(f"the agent did not take the report: {error}", file=sys.stderr, flush=True)
