"""procd for homes whose services are to be counted, not to be run.

A service counts as started when the agent asks for it; it fetches its configuration over the bus as a real one does,
and calls `ready`. What the code of a service may try is in test_services.
"""

from __future__ import annotations

from isdf import ubus
from isdf.ubus import Method, Status, StatusError

_PREFIX = "isdf-service-"


class Procd:
    """procd's object `service`; `instances` has what was asked for, by the name of the service."""

    def __init__(self, bus: ubus.Connection) -> None:
        self.instances: dict[str, dict] = {}
        self._bus = bus
        bus.add("service", {"set": Method(self._set), "delete": Method(self._delete), "list": Method(self._list)})
        bus.subscribe("isdf.service", lambda kind, data: None, on_change=self._agent)

    def _agent(self, present: bool) -> None:
        if present:
            for name, instance in self.instances.items():
                self._ask(name, instance)

    def _set(self, request) -> None:
        name, instance = request.args["name"].removeprefix(_PREFIX), request.args["instances"]["main"]
        self.instances[name] = instance
        self._ask(name, instance)

    def _delete(self, request) -> None:
        if self.instances.pop(request.args["name"].removeprefix(_PREFIX), None) is None:
            raise StatusError(Status.NOT_FOUND)

    def _list(self, request) -> dict:
        return {_PREFIX + n: {"instances": {"main": {"running": True, **i}}} for n, i in self.instances.items()}

    def _ask(self, name: str, instance: dict, **after: int) -> None:
        """What the process of a service does: its configuration, `ready`, and the next one."""

        def configured(status: int, reply: dict) -> None:
            if self.instances.get(name) is not instance:
                return  # it was ended or exchanged
            if "revision" in reply:
                told = {"service": name, "revision": reply["revision"]}
                self._bus.call_async("isdf.service", "ready", told, lambda status, reply: None)
                self._ask(name, instance, after=reply["revision"])
            elif "error" in reply:  # an agent that has just come does not know it yet
                self._bus.later(0.1, lambda: self._ask(name, instance))

        told = {"service": name, "version": instance["env"]["ISDF_VERSION"], **after}
        self._bus.call_async("isdf.service", "config", told, configured, timeout=None)
