"""Try a service without a router: `control = configured(PayPerSite, sites=[...], rate="200kBps")`, then look.

`FakeControl` answers as the agent does to a service that may do everything on a line without an end; it keeps no
kernel and knows no other service.
"""

from __future__ import annotations

from ..errors import NotFoundError
from ..model import Flow, parse_name, parse_rate
from .service import Service


class FakeControl:
    """`classes`: name -> {"down", "up"} in bit/s; `members`: lease -> (class, flow); `calls`: each call in order."""

    def __init__(self) -> None:
        self.classes: dict[str, dict[str, int]] = {}
        self.members: dict[str, tuple[str, Flow]] = {}
        self.calls: list[tuple] = []

    def add_class(self, name: str, rate, ceil=None, up=None, up_ceil=None) -> None:
        self.calls.append(("add_class", name, rate, ceil, up, up_ceil))
        for value in (ceil, up_ceil):
            parse_rate(rate if value is None else value)
        self.classes[parse_name(name)] = {"down": parse_rate(rate), "up": parse_rate(rate if up is None else up)}

    def remove_class(self, name: str) -> None:
        self.calls.append(("remove_class", name))
        self._need(name)
        del self.classes[name]
        self.members = {lease: member for lease, member in self.members.items() if member[0] != name}

    def add_class_member(self, name: str, flow: Flow) -> str:
        self.calls.append(("add_class_member", name, flow))
        self._need(name)
        for lease, member in self.members.items():
            if member == (name, flow):
                return lease
        lease = f"{len(self.calls)}"
        self.members[lease] = (name, flow)
        return lease

    def remove_class_member(self, lease: str) -> None:
        self.calls.append(("remove_class_member", lease))
        if lease not in self.members:
            raise NotFoundError(f"there is no lease {lease}")
        del self.members[lease]

    def _need(self, name: str) -> None:
        if name not in self.classes:
            raise NotFoundError(f"there is no class {name}; add_class makes it")


def configured(service: type[Service], **config) -> FakeControl:
    """What `service` asked for when it was configured so."""
    control = FakeControl()
    service(control).configure(**config)
    return control
