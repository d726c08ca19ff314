"""What services hold: classes and members, and when two claims meet, what each match leads to.

`Held` is a value: a change makes a new one, and it is in force only after the dataplane took it. `compile_state` is the
one place that turns leases into a `State`; its result depends on what is held alone, never on how it came to be so.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from isdf.errors import LimitError
from isdf.model import PROTOCOLS, Flow, Rate

from ..dataplane.port import Class, Match, Ports, State

MAX_TRIALS = 200_000  # of settling one group; a second or two on a small router

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
    """`until` is in Unix seconds, None: until undone."""

    id: str
    owner: str
    name: str
    flow: Flow
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """`addresses`: for each wanted host or pattern its addresses, each with the Unix time until which it counts."""

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


def member_id(owner: str, name: str, flow: Flow) -> str:
    """The lease of a member: the same for the same arguments of the same owner, also after a restart."""
    text = json.dumps([owner, "add_class_member", name, flow.as_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    claims: dict[Match, list[tuple[tuple, Match, MemberLease]]] = {}
    ranks = {owner: rank(owner) for owner in {member.owner for member in held.members.values()}}
    for member in held.members.values():
        order = (*ranks[member.owner], member.owner, member.name, member.id)
        for match in expand(member.flow, held.addresses):
            # Without its ranges of ports a match is a group, inside which claims can meet.
            group = Match(
                match.proto,
                match.local,
                None if match.local_port is None else (0, 0),
                match.remote,
                None if match.remote_port is None else (0, 0),
            )
            claims.setdefault(group, []).append(((_width(match), *order), match, member))
    members: dict[Match, int] = {}
    losing, winning = set(), set()
    for claimants in claims.values():
        claimants.sort(key=lambda claim: claim[0])
        pieces = _pieces(claimants, held)
        members.update(pieces)
        for _, match, member in claimants:
            own = held.classes[member.owner, member.name].id
            reached = any(i == own and _covers(match, piece) for piece, i in pieces.items())
            (winning if reached else losing).add(member.id)
    return Compiled(State(classes, dict(sorted(members.items(), key=repr))), frozenset(losing - winning))


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


def _covers(match: Match, piece: Match) -> bool:
    return all(
        whole is None or (whole[0] <= part[0] and part[1] <= whole[1])
        for whole, part in ((match.local_port, piece.local_port), (match.remote_port, piece.remote_port))
    )


def _pieces(claimants: list, held: Held) -> dict[Match, int]:
    """Disjoint matches, each with the class of the first claimant that covers it; all of one group."""
    first = claimants[0][1]
    if len(claimants) == 1 or (first.local_port is None and first.remote_port is None):
        winner = claimants[0][2]
        return {first: held.classes[winner.owner, winner.name].id}
    local_cuts = _cuts([match.local_port for _, match, _ in claimants])
    remote_cuts = _cuts([match.remote_port for _, match, _ in claimants])
    if len(local_cuts) * len(remote_cuts) * len(claimants) > MAX_TRIALS:
        raise LimitError(f"{len(claimants)} flows with overlapping ranges of ports are more than the router settles")
    pieces: dict[Match, int] = {}
    for local in local_cuts:
        row: list[tuple[Match, int]] = []
        for remote in remote_cuts:
            piece = Match(first.proto, first.local, local, first.remote, remote)
            winner = next((member for _, match, member in claimants if _covers(match, piece)), None)
            if winner is None:
                continue
            number = held.classes[winner.owner, winner.name].id
            before = row[-1] if row else None
            if before and remote and before[1] == number and before[0].remote_port[1] + 1 == remote[0]:
                row.pop()
                piece = Match(first.proto, first.local, local, first.remote, (before[0].remote_port[0], remote[1]))
            row.append((piece, number))
        pieces.update(row)
    return pieces


def _cuts(ranges: list[Ports | None]) -> list[Ports | None]:
    """The smallest ranges of which all of `ranges` are made."""
    if ranges[0] is None:
        return [None]
    edges = sorted({low for low, _ in ranges} | {high + 1 for _, high in ranges})
    return [(low, high - 1) for low, high in itertools.pairwise(edges)]
