"""The HTB tree of one direction, as values: what it should be, and with which parameters.

    1:      root
    1:1     the line: what the access can carry
    1:10    the base class (id 1), all traffic that is in no other
    1:N0    the service class with id N

A class is a leaf with a fair queue below it; or, where the kernel has no fair queue, the inner class 1:8000+N with
sixteen leaves 1:N0 to 1:Nf (see `isdf_agent.dataplane.buckets`). Rates are bytes/s here, as in the kernel.

Reference: tc-htb(8), net/sched/sch_htb.c, tc-fq_codel(8), tc-cake(8).
"""

from __future__ import annotations

from isdf.value import dataclass

ROOT, LINE, INNER = 0x10000, 0x10001, 0x18000
MTU = 1514
U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Leaf:
    """The queue of a leaf class: its kind and its options.

    `limit` is in packets (fq_codel) or bytes (bfifo); `target`, of cake and fq_codel, in microseconds.
    """

    kind: str
    limit: int = 0
    target: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """An HTB class: `rate` and `ceil` in bytes/s, `burst` and `quantum` in bytes."""

    handle: int
    parent: int
    rate: int
    ceil: int
    quantum: int
    leaf: Leaf | None = None

    @property
    def burst(self) -> int:
        """What may go at once: a packet, or what the rate gives in a millisecond."""
        return max(MTU + 86, self.rate // 1000)

    @property
    def cburst(self) -> int:
        return max(MTU + 86, self.ceil // 1000)


def quantum_of(rate: int) -> int:
    """Bytes a class sends in its turn: 10 ms of its rate, at least a packet, at most one full of segments (GSO)."""
    return min(max(MTU, rate // 100), 60_000)


def nodes(line: int, classes: dict[int, tuple[int, int]], kind: str) -> list[Node]:
    """The tree, parents first. `line` in bit/s; `classes`: id -> (rate, ceil) in bit/s, the base among them.

    `kind` is the fair queue: "cake", "fq_codel", or "buckets" where there is none.
    """
    carries = _bytes(line)
    tree = [Node(LINE, ROOT, carries, carries, quantum_of(carries))]
    for number, (rate, ceil) in sorted(classes.items()):
        rate, ceil = _bytes(rate), _bytes(ceil)
        if kind == "buckets":
            tree += _with_buckets(number, rate, ceil)
        else:
            tree.append(Node(leaf_handle(number), LINE, rate, ceil, quantum_of(rate), _fair(kind, ceil)))
    return tree


def leaf_handle(number: int, bucket: int = 0) -> int:
    """The HTB class of class `number`: also the priority that nft gives its packets."""
    return ROOT | number << 4 | bucket


def number_of(handle: int) -> int:
    """The id of the class that an HTB class of our tree belongs to; 0 for the line."""
    minor = handle & 0xFFFF
    return minor & 0x7FFF if minor & 0x8000 else minor >> 4


def drained(node: Node, line: int) -> Node:
    """The same class on its way out: what is still queued may use whatever the line has to spare."""
    return Node(node.handle, node.parent, node.rate, _bytes(line), node.quantum, node.leaf)


def _with_buckets(number: int, rate: int, ceil: int) -> list[Node]:
    from .buckets import COUNT, shares

    inner = INNER + number
    # A tenth of a second: enough for TCP to fill the class over round trips of 0.2 s, and what follows a lost packet
    # is held back no longer. At least the ten packets that a connection begins with (RFC 6928).
    leaf = Leaf("bfifo", limit=min(max(ceil // 10, 10 * MTU), 1 << 20))
    return [
        Node(inner, LINE, rate, ceil, quantum_of(rate)),
        *(Node(leaf_handle(number, b), inner, shares(rate), ceil, quantum_of(rate), leaf) for b in range(COUNT)),
    ]


def _fair(kind: str, ceil: int) -> Leaf:
    # With less than the time of a packet or two, CoDel drops what is no queue at all (tc-fq_codel(8)). Cake adapts to a
    # slow link only by a bandwidth of its own and wants more: of 191 kB/s it let 141 pass by default, 183 with 1.5.
    packets = 4 if kind == "cake" else 1.5
    target = max(5000, int(packets * 1_000_000) * MTU // ceil)
    return Leaf(kind, limit=1024 if kind == "fq_codel" else 0, target=target)


def _bytes(bits: int) -> int:
    return min(bits // 8, U32)
