"""What services hold: classes and members, and when two claims meet, what each match leads to.

`Held` is a value: a change makes a new one, and it is in force only after the dataplane took it. `compile_state` is the
one place that turns leases into a `State`; its result depends on what is held alone, never on how it came to be so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from isdf.digest import sha256
from isdf.errors import LimitError
from isdf.model import PROTOCOLS, Flow, Rate
from isdf.value import dataclass, field

from ..dataplane.port import FIRST_ID, LAST_ID, Class, Match, Ports, State
from .claims import Claim, settle

Key = tuple[str, str]  # owner and name of a class
Rank = Callable[[str], tuple[int, int]]  # owner -> (minus priority, position in the assignment)


@dataclass(frozen=True, slots=True)
class ClassLease:
    owner: str
    name: str
    id: int
    rate: Rate
    since: float


@dataclass(frozen=True, slots=True)
class MemberLease:
    """`since` is in Unix seconds, `until` in monotonic ones, None: until undone."""

    id: str
    owner: str
    name: str
    flow: Flow
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """`addresses`: of each wanted host or pattern, each with the monotonic time until which it counts."""

    classes: Mapping[Key, ClassLease] = field(default_factory=dict)
    members: Mapping[str, MemberLease] = field(default_factory=dict)
    addresses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def without(self, gone: set[Key], gone_members: set[str] = frozenset()) -> Held:
        """Without these classes, their members, and these members; hosts that nobody wants then are forgotten."""
        members = {i: m for i, m in self.members.items() if (m.owner, m.name) not in gone and i not in gone_members}
        hosts = {m.flow.host for m in members.values()}
        return Held(
            {k: c for k, c in self.classes.items() if k not in gone},
            members,
            {h: a for h, a in self.addresses.items() if h in hosts},
        )


def free_id(classes: Iterable[ClassLease]) -> int:
    """The first id that none of `classes` has; `LimitError` where they have all."""
    taken = {c.id for c in classes}
    number = next((i for i in range(FIRST_ID, LAST_ID + 1) if i not in taken), None)
    if number is None:
        raise LimitError(f"the router has its {LAST_ID - FIRST_ID + 1} classes")
    return number


def member_id(owner: str, name: str, flow: Flow) -> str:
    """The lease of a member: the same for the same arguments of the same owner, also after a restart."""
    text = json.dumps([owner, "add_class_member", name, flow.as_dict()], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Compiled:
    """`shadowed`: the leases of members none of whose traffic reaches their class, because another goes before."""

    state: State = field(default_factory=State)
    shadowed: frozenset[str] = frozenset()


def compile_state(held: Held, rank: Rank) -> Compiled:
    """What the dataplane should be, for all that is held.

    Two members that claim the same match: the narrower range of ports goes first, then the owner of higher priority,
    then the earlier in the assignment, then by name. (That a narrower *shape* goes first is the dataplane's order.)
    """
    classes = {c.id: Class(c.id, f"{c.owner}/{c.name}", c.rate) for c in held.classes.values()}
    groups: dict[tuple, list[tuple[tuple, Claim]]] = {}
    ranks = {owner: rank(owner) for owner in {member.owner for member in held.members.values()}}
    for member in held.members.values():
        order = (*ranks[member.owner], member.owner, member.name, member.id)
        number = held.classes[member.owner, member.name].id
        for match in expand(member.flow, held.addresses):
            # Without its ranges of ports a match is a group, inside which claims can meet.
            ports = match.local_port is None, match.remote_port is None
            group = match.proto, match.local, match.remote, ports
            claim = Claim(match.local_port, match.remote_port, number, member.id)
            groups.setdefault(group, []).append(((_width(match), *order), claim))
    members: dict[Match, int] = {}
    reached: set[str] = set()
    for (proto, local, remote, _), claims in groups.items():
        claims.sort(key=lambda ordered: ordered[0])
        pieces, reach = settle([claim for _, claim in claims])
        reached |= reach
        for (local_port, remote_port), number in pieces.items():
            members[Match(proto, local, local_port, remote, remote_port)] = number
    claiming = {claim.lease for claims in groups.values() for _, claim in claims}
    return Compiled(State(classes, members), frozenset(claiming - reached))


def expand(flow: Flow, addresses: Mapping[str, Mapping[str, float]]) -> list[Match]:
    """The matches of a flow: one, or one for each address that its host has now."""
    proto = None if flow.proto is None else PROTOCOLS.get(flow.proto) or int(flow.proto)
    local_port, remote_port = _ports(flow.local_port), _ports(flow.remote_port)
    if flow.host is None:
        remotes = [flow.remote]
    else:
        six = flow.local is not None and ":" in flow.local
        remotes = [a for a in addresses.get(flow.host, ()) if flow.local is None or (":" in a) == six]
    return [Match(proto, flow.local, local_port, remote, remote_port) for remote in remotes]


def _ports(text: str | None) -> Ports | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def _width(match: Match) -> int:
    width = 1
    for ports in (match.local_port, match.remote_port):
        if ports:
            width *= ports[1] - ports[0] + 1
    return width
