"""Claims that differ in their ports alone, settled: disjoint pieces, each with the class that its packets go to. Pure.

A claim is a rectangle, local ports by remote ports. The local ports are cut wherever a claim begins or ends, into
columns that no claim covers in part; each column is swept along its remote ports, with a heap of the claims that are
open there: the first of them has the piece. Neighbours of one class become one.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
from collections import namedtuple
from collections.abc import Iterator

from isdf.errors import LimitError

from ..dataplane.port import Ports

MAX_PIECES = 8192  # elements of one interval map in the kernel
MAX_STEPS = 100_000  # claims in all columns; less than a second on a small router
_ANY = (0, 0)

Row = list[tuple[Ports, int]]  # disjoint remote ports in their order, and their class


class Claim(namedtuple("Claim", "local_port remote_port number lease")):
    """Ports are None in all claims that are settled together, or in none. `number` is the class, `lease` who claims."""

    __slots__ = ()


def settle(claims: list[Claim]) -> tuple[dict[tuple[Ports | None, Ports | None], int], set[str]]:
    """The class of each piece, by its local and its remote ports; and the leases that reach their class at all.

    `claims` come in the order in which they go before each other. `LimitError` where they are too many to settle.
    """
    first = claims[0]
    if len(claims) == 1 or first[:2] == (None, None):
        return {first[:2]: first.number}, {claim.lease for claim in claims if claim.number == first.number}
    reached: set[str] = set()
    columns: list[tuple[int, int, Row]] = []
    steps = pieces = 0
    for (low, high), there in _columns(claims):
        steps += len(there)
        row = _sweep(there, reached) if steps <= MAX_STEPS else []
        if columns and columns[-1][1:] == (low - 1, row):
            low = columns.pop()[0]
        else:
            pieces += len(row)
        if max(pieces / MAX_PIECES, steps / MAX_STEPS) > 1:
            raise LimitError(f"{len(claims)} flows with overlapping ranges of ports are more than the router settles")
        columns.append((low, high, row))
    wild_local, wild_remote = first.local_port is None, first.remote_port is None
    found = {
        (None if wild_local else (low, high), None if wild_remote else remote): number
        for low, high, row in columns
        for remote, number in row
    }
    return found, reached


def _columns(claims: list[Claim]) -> Iterator[tuple[Ports, list[Claim]]]:
    """The columns from left to right, each with the claims that cover it, in their order."""
    ranges = [claim.local_port or _ANY for claim in claims]
    starting = sorted(range(len(claims)), key=lambda n: ranges[n][0], reverse=True)
    there: list[int] = []
    for low, beyond in itertools.pairwise(_edges(ranges)):
        there = [n for n in there if ranges[n][1] >= low]
        while starting and ranges[starting[-1]][0] == low:
            bisect.insort(there, starting.pop())
        yield (low, beyond - 1), [claims[n] for n in there]


def _sweep(claims: list[Claim], reached: set[str]) -> Row:
    """The pieces of one column. Leases that have any of it for their class are added to `reached`."""
    ranges = [claim.remote_port or _ANY for claim in claims]
    starting = sorted(range(len(claims)), key=lambda n: ranges[n][0], reverse=True)
    there: list[int] = []  # a heap; what has ended stays in it until it comes to the top
    waiting: dict[int, list[int]] = {}  # by class: claims that have begun and reached it nowhere so far
    row: Row = []
    for low, beyond in itertools.pairwise(_edges(ranges)):
        while starting and ranges[starting[-1]][0] == low:
            n = starting.pop()
            heapq.heappush(there, n)
            waiting.setdefault(claims[n].number, []).append(n)
        while there and ranges[there[0]][1] < low:
            heapq.heappop(there)
        if not there:
            continue
        number = claims[there[0]].number
        reached.update(claims[n].lease for n in waiting.pop(number, ()) if ranges[n][1] >= low)
        if row and row[-1][1] == number and row[-1][0][1] == low - 1:
            low = row.pop()[0][0]
        row.append(((low, beyond - 1), number))
    return row


def _edges(ranges: list[Ports]) -> list[int]:
    return sorted({low for low, _ in ranges} | {high + 1 for _, high in ranges})
