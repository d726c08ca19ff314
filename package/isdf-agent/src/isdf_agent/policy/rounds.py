"""Rounds of asking: what owners have asked for anew, and what they had when their round opened.

Until a round closes nobody knows how it will: `ready` keeps what was asked for in it, `abort` brings back what was
there before. So the owner itself is measured without what is on its way out, and others find room only for what fits
however it ends.
"""

from __future__ import annotations

from isdf.model import Rate
from isdf.value import replace

from .leases import Held, free_id


class Rounds:
    """By owner. What was asked for is noted by the lease of a member, or by `asking` with the name of a class."""

    def __init__(self, asked: dict[str, set[str]] | None = None) -> None:
        """`asked`: the rounds that an agent before this one had open; what was there before them nobody knows."""
        self._asked = asked or {}
        self._before: dict[str, Held] = {}

    def open(self, owner: str, held: Held) -> None:
        """An open one starts over."""
        self._asked[owner] = set()
        self._before.setdefault(owner, held)

    def close(self, owner: str) -> bool:
        """Whether one was open."""
        self._before.pop(owner, None)
        return self._asked.pop(owner, None) is not None

    def ask(self, owner: str, what: str) -> bool:
        """Whether this is news: a round is open, and `what` was not asked for in it yet."""
        asked = self._asked.get(owner)
        if asked is None or what in asked:
            return False
        asked.add(what)
        return True

    def is_open(self, owner: str) -> bool:
        return owner in self._asked

    def before(self, owner: str) -> Held | None:
        """What was held when the round opened; None where none is open, or an agent before this one opened it."""
        return self._before.get(owner)

    def as_dict(self) -> dict[str, list[str]]:
        return {owner: sorted(asked) for owner, asked in self._asked.items()}

    def kept(self, held: Held, owner: str) -> Held:
        """Without what `owner` has on its way out: what it did not ask for in its open round."""
        asked = self._asked.get(owner)
        if asked is None:
            return held
        leaving = {k for k in held.classes if k[0] == owner and asking(k[1]) not in asked}
        members = {m.id for m in held.members.values() if m.owner == owner and m.id not in asked}
        return held.without(leaving, members) if leaving or members else held

    def spoken_for(self, held: Held, owner: str) -> list[Rate]:
        """For each owner but this one what it has now, or had before its open round, whichever is more."""
        found = []
        for other in ({key[0] for key in held.classes} | self._before.keys()) - {owner}:
            either = [
                [c.rate for key, c in of.classes.items() if key[0] == other]
                for of in (held, self._before.get(other, held))
            ]
            down = max(sum(rate.down for rate in rates) for rates in either)
            up = max(sum(rate.up for rate in rates) for rates in either)
            found.append(Rate(down, up, down, up))
        return found


def back(held: Held, before: Held, owner: str) -> Held:
    """What is held, with what `owner` had before instead of what it has. It fits the line: see `Rounds.spoken_for`."""
    classes = {k: c for k, c in held.classes.items() if k[0] != owner}
    for key, lease in before.classes.items():
        if key[0] == owner:
            taken = lease.id in {c.id for c in classes.values()}
            classes[key] = replace(lease, id=free_id(classes.values())) if taken else lease
    members = {i: m for i, m in held.members.items() if m.owner != owner}
    members |= {i: m for i, m in before.members.items() if m.owner == owner}
    return Held(classes, members, {**before.addresses, **held.addresses}).without(set())


def asking(name: str) -> str:
    """How the class `name` stands among what was asked for; a lease is hexadecimal, so the two cannot meet."""
    return f"class {name}"
