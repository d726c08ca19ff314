"""The dataplane without a kernel: keeps the state, and tells of a packet which class it would be in.

For tests, for `option dataplane 'memory'`, and as the twin that the kernel's dataplane is compared with.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from isdf.errors import KernelError
from isdf.model import Line
from isdf.value import dataclass

from .match_shape import shape_of
from .port import BASE, Change, Counters, Match, State, after

_WITH_PORTS = {6, 17, 132, 136}


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of either direction of a connection between `local` (LAN side) and `remote`."""

    proto: int
    local: str
    remote: str
    local_port: int = 0
    remote_port: int = 0


def matches(match: Match, packet: Packet) -> bool:
    """Whether `packet` is one of `match`: the meaning of a match, field by field."""

    def inside(address: str, prefix: str | None) -> bool:
        return prefix is None or ipaddress.ip_address(address) in ipaddress.ip_network(prefix)

    def among(port: int, ports: tuple[int, int] | None) -> bool:
        return ports is None or (packet.proto in _WITH_PORTS and ports[0] <= port <= ports[1])

    return (
        match.proto in (None, packet.proto)
        and inside(packet.local, match.local)
        and inside(packet.remote, match.remote)
        and among(packet.local_port, match.local_port)
        and among(packet.remote_port, match.remote_port)
    )


def classify(state: State, packet: Packet) -> int:
    """The id of the class that `packet` is in: slowly, by trying each member."""
    found = [(shape_of(match).rank, number) for match, number in state.members.items() if matches(match, packet)]
    return min(found)[1] if found else BASE


class MemoryDataplane:
    """`state` and `line` are what the kernel would have; `changes` counts the changes so far."""

    def __init__(self) -> None:
        self.state = State()
        self.line: Line | None = None
        self.changes = 0

    def adopt(self, line: Line, state: State) -> None:
        self._check(state)
        self.line, self.state = line, state

    def apply(self, change: Change) -> None:
        state = after(self.state, change)
        self._check(state)
        self.state = state
        self.changes += 1

    def classify(self, packet: Packet) -> int:
        return classify(self.state, packet)

    def counters(self) -> dict[int, Counters]:
        return {number: Counters() for number in (BASE, *self.state.classes)}

    def watch(self, loop, changed: Callable[[], None]) -> None:
        """Nobody else can change anything here."""

    def warm(self) -> None:
        """Nothing takes time to start here."""

    def teardown(self) -> None:
        self.state, self.line = State(), None

    @staticmethod
    def _check(state: State) -> None:
        # The kernel refuses a rule that leads nowhere; so does its twin.
        for match, number in state.members.items():
            if number not in state.classes:
                raise KernelError(f"{match} leads to class {number}, which does not exist")
