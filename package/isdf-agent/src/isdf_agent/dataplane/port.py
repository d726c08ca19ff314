"""What a dataplane can be told, and the `Dataplane` Protocol: classes with rates, and matches that lead into them.

Values only. A `State` is all that should be; a `Change` is the way from one state to the next and happens as a whole or
not at all. `KernelDataplane` and `MemoryDataplane` speak this; policy knows nothing else of them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping

from isdf.model import Line, Rate
from isdf.protocol import Protocol
from isdf.value import dataclass, field

BASE = 1  # the id of the class of all WAN traffic that is in no other
FIRST_ID, LAST_ID = 2, 255  # ids of service classes; 12 bits are what an HTB minor leaves beside 16 children

Ports = tuple[int, int]  # first and last port


@dataclass(frozen=True, slots=True)
class Class:
    """A class of traffic. `label` ("owner/name") is for people who look at the kernel's state."""

    id: int
    label: str
    rate: Rate


class Match(namedtuple("Match", "proto local local_port remote remote_port", defaults=[None] * 5)):
    """Packets of both directions of a connection, seen from the customer: `local` is the LAN side. None: wildcard.

    `proto` is the number; addresses are canonical text with the prefix length where it is not a single address; ports
    are `Ports`. A named tuple, because there are thousands of them in a dictionary at each change.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class State:
    """All service classes by id, and for each match the id of its class. Matches of one shape are disjoint."""

    classes: Mapping[int, Class] = field(default_factory=dict)
    members: Mapping[Match, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Classes to make or change, members to set; then members and classes to remove. Removed ids have no members."""

    set_classes: tuple[Class, ...] = ()
    set_members: tuple[tuple[Match, int], ...] = ()
    remove_members: tuple[Match, ...] = ()
    remove_classes: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set_classes or self.set_members or self.remove_members or self.remove_classes)


def difference(old: State, new: State) -> Change:
    """The change that makes `new` of `old`."""
    return Change(
        set_classes=tuple(c for i, c in new.classes.items() if old.classes.get(i) != c),
        set_members=tuple((m, i) for m, i in new.members.items() if old.members.get(m) != i),
        remove_members=tuple(m for m in old.members if m not in new.members),
        remove_classes=tuple(i for i in old.classes if i not in new.classes),
    )


def after(old: State, change: Change) -> State:
    """The state that `change` makes of `old`."""
    classes = {**old.classes, **{c.id: c for c in change.set_classes}}
    members = {**old.members, **dict(change.set_members)}
    for match in change.remove_members:
        members.pop(match, None)
    for number in change.remove_classes:
        classes.pop(number, None)
    return State(classes, members)


@dataclass(frozen=True, slots=True)
class Counters:
    """What a class has carried, in packets and bytes, down and up, since it was made."""

    down_packets: int = 0
    down_bytes: int = 0
    up_packets: int = 0
    up_bytes: int = 0


class Dataplane(Protocol):
    """All methods raise `KernelError` (one sentence) when the kernel refuses; the state is then as it was before."""

    def adopt(self, line: Line, state: State) -> None:
        """Make the kernel what `line` and `state` say, whatever it is now, and touch nothing that is so already."""

    def apply(self, change: Change) -> None:
        """Carry out `change` as a whole. `adopt` comes first."""

    def watch(self, loop, changed: Callable[[], None]) -> None:
        """From now on call `changed` in `loop` when somebody else has changed in the kernel what is ours."""

    def counters(self) -> dict[int, Counters]:
        """By class id; `BASE` is the base class."""

    def warm(self) -> None:
        """A change is near: start ahead what takes time to start."""

    def teardown(self) -> None:
        """Leave the kernel as it was before the first `adopt`."""
