"""What a service may ask for: `may:` of its service.yaml, and its place in the assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isdf.errors import InvalidError, LimitError, NotPermittedError
from isdf.model import Rate, format_rate, parse_rate
from isdf.value import dataclass, field

VERBS = ("add_class", "add_class_member")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` at a time, and for classes at most `rate` bit/s in sum for each direction. None: no limit."""

    max: int | None = None
    rate: int | None = None

    def check_number(self, owner: str, what: tuple[str, str], others: int) -> None:
        """`LimitError` if there may not be one more beside so many others; `what` it is, one and many."""
        if self.max is not None and others >= self.max:
            raise LimitError(f"service {owner} may have {self.max} {what[self.max != 1]} at a time; remove one first")

    def check_rate(self, owner: str, rates: list[Rate]) -> None:
        """`LimitError` if classes of these rates are too much in either direction."""
        if self.rate is not None and max(sum(r.down for r in rates), sum(r.up for r in rates)) > self.rate:
            raise LimitError(f"service {owner} may have classes of {format_rate(self.rate)} in sum")


@dataclass(frozen=True, slots=True)
class Grant:
    """`limits` by verb; a verb that is not in it is not permitted, its inverse goes with it."""

    limits: Mapping[str, Limit] = field(default_factory=dict)

    @classmethod
    def parse(cls, may: object) -> Grant:
        """Of `may:` as in service.json: `{"add_class": {"max": 1, "rate": "200kBps"}}`; else `InvalidError`.

        Verbs that this agent does not know are left out: a newer service then learns it when it asks.
        """
        if not isinstance(may, dict):
            raise InvalidError(f"may is {may!r}; it takes a table of verbs, each with its limits")
        limits = {}
        for verb, limit in may.items():
            if not isinstance(limit, dict) or set(limit) - {"max", "rate"}:
                raise InvalidError(f"may.{verb} is {limit!r}; it takes a table of max and rate")
            most = limit.get("max")
            if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
                raise InvalidError(f"may.{verb}.max is {most!r}; it takes a number from 0")
            if verb in VERBS:
                limits[verb] = Limit(most, None if limit.get("rate") is None else parse_rate(limit["rate"]))
        return cls(limits)


LOCAL = "local"  # the owner for whom root at the command line or in LuCI acts
UNLIMITED = Grant({verb: Limit() for verb in VERBS})


class Grants:
    """What each owner may, and who goes before whom. `ask(service)` tells what a service may, and raises where that is
    in no assignment; `place(service)` its priority and its position in the assignment, None where it is in none."""

    def __init__(self, ask: Callable[[str], Grant], place: Callable[[str], tuple[int, int] | None]) -> None:
        self._ask, self._place = ask, place

    def limit(self, owner: str, verb: str) -> Limit:
        """`NotPermittedError` for a verb that is not granted."""
        limit = self._of(owner).limits.get(verb)
        if limit is None:
            raise NotPermittedError(f"service {owner} may not {verb}: its service.yaml does not list it under 'may'")
        return limit

    def rank(self, owner: str) -> tuple[int, int]:
        """Between equal claims the smaller one goes first: the higher priority, then the earlier position; root before
        equals."""
        if owner == LOCAL:
            return 0, -1
        place = self._place(owner)
        if place is None:  # not in the assignment any more, about to be withdrawn
            return 1 << 31, 1 << 31
        return -place[0], place[1]

    def _of(self, owner: str) -> Grant:
        return UNLIMITED if owner == LOCAL else self._ask(owner)
