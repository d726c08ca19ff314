"""What a service may ask for: `may:` of its service.yaml, and its place in the assignment."""

from __future__ import annotations

from collections.abc import Mapping

from isdf.errors import InvalidError
from isdf.model import parse_rate
from isdf.value import dataclass, field

VERBS = ("add_class", "add_class_member")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` at a time, and for classes at most `rate` bit/s in sum for each direction. None: no limit."""

    max: int | None = None
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """`limits` by verb; a verb that is not in it is not permitted, its inverse goes with it.

    Between equal claims the higher `priority` goes first, then the smaller `position` in the assignment.
    """

    limits: Mapping[str, Limit] = field(default_factory=dict)
    priority: int = 0
    position: int = 0

    @classmethod
    def parse(cls, may: object, priority: int = 0, position: int = 0) -> Grant:
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
        return cls(limits, priority, position)


UNLIMITED = Grant({verb: Limit() for verb in VERBS}, position=-1)  # root at the command line goes before equals
