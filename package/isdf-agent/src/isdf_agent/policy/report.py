"""What is held, in words for `list`, `status` and the answers to the verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isdf.model import Lease, Line
from isdf.value import asdict

from ..dataplane.port import BASE, Counters
from .hosts import wanted
from .leases import Compiled, Held, MemberLease
from .line import left_of

Unix = Callable[[float], float]  # the Unix time of an end


def lease(member: MemberLease, compiled: Compiled, unix: Unix) -> Lease:
    return Lease(
        id=member.id,
        owner=member.owner,
        verb="add_class_member",
        args={"name": member.name, "flow": member.flow.as_dict()},
        since=member.since,
        until=None if member.until is None else unix(member.until),
        active=member.id not in compiled.shadowed,
    )


def classes(held: Held, compiled: Compiled, owner: str | None, unix: Unix) -> dict:
    """Rates are bit/s; members have `lease`, `flow`, `active`, and `until` and `addresses` where they have them."""
    found = []
    for key, c in held.classes.items():
        if owner not in (None, key[0]):
            continue
        about = {"owner": c.owner} if owner is None else {}
        about |= {"class": c.name, "rate": c.rate.down, "ceil": c.rate.down_ceil}
        about |= {"up": c.rate.up, "up_ceil": c.rate.up_ceil}
        members = [m for m in held.members.values() if (m.owner, m.name) == key]
        about["members"] = [_member(m, held, compiled, unix) for m in members]
        found.append(about)
    return {"classes": found}


def _member(member: MemberLease, held: Held, compiled: Compiled, unix: Unix) -> dict:
    about = {"lease": member.id, "flow": member.flow.as_dict(), "active": member.id not in compiled.shadowed}
    if member.until is not None:
        about["until"] = unix(member.until)
    if member.flow.host:
        about["addresses"] = sorted(held.addresses.get(member.flow.host, ()))
    return about


def status(held: Held, line: Line, counters: Mapping[int, Counters]) -> dict:
    """`left` is what a new class could be guaranteed; all rates in bit/s."""
    down, up = left_of(line, [c.rate for c in held.classes.values()])
    return {
        "line": {"down": line.down, "up": line.up, "base_down": line.base_down, "base_up": line.base_up},
        "left": {"down": max(0, down), "up": max(0, up)},
        "base": asdict(counters.get(BASE, Counters())),
        "classes": [
            {"owner": c.owner, "class": c.name, "id": c.id, **asdict(counters.get(c.id, Counters()))}
            for c in held.classes.values()
        ],
        "hosts": len(wanted(held)),
    }
