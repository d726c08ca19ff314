"""The control API as a service sees it: the paper's Table 1 with its inverses, in the service's own names.

Each call is idempotent: asking again for what is there changes nothing and answers the same.
"""

from __future__ import annotations

from ..errors import from_dict
from ..model import Flow


def call(bus, path: str, method: str, **args) -> dict:
    """Call with the arguments that are set; an error in the reply is raised as the class of `isdf.errors` it is."""
    reply = bus.call(path, method, {k: v for k, v in args.items() if v is not None}, timeout=30.0)
    if "error" in reply:
        raise from_dict(reply["error"])
    return reply


class Control:
    """The verbs; errors are those of `isdf.errors`, a sentence each. `bus` is an `isdf.ubus.Connection`."""

    def __init__(self, bus) -> None:
        self._bus = bus

    def add_class(self, name: str, rate, ceil=None, up=None, up_ceil=None) -> None:
        """A class of traffic with `rate` towards the home and `up` away from it (default: `rate`).

        Rates are bit/s or text such as "200kBps". `ceil` is what the class may reach at most (default: its rate);
        the rate is guaranteed. Asked again with another rate, the class changes in place.
        """
        call(self._bus, "isdf.control", "add_class", name=name, rate=rate, ceil=ceil, up=up, up_ceil=up_ceil)

    def remove_class(self, name: str) -> None:
        """The inverse; the members of the class go with it."""
        call(self._bus, "isdf.control", "remove_class", name=name)

    def add_class_member(self, name: str, flow: Flow) -> str:
        """Traffic that matches `flow` is of class `name` from now on, running connections too. Returns the lease."""
        return call(self._bus, "isdf.control", "add_class_member", name=name, flow=flow.as_dict())["lease"]

    def remove_class_member(self, lease: str) -> None:
        """The inverse of `add_class_member`."""
        call(self._bus, "isdf.control", "remove_class_member", lease=lease)
