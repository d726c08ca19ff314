"""The shape of a match: which fields it has and how long its prefixes are; and which shape goes first.

All matches of one shape stand in one hash table, because after masking the packet's fields by the shape they are exact
keys. Tables are asked in the order of `Shape.rank`, so the order decides between overlapping matches of two shapes.
"""

from __future__ import annotations

from isdf.value import dataclass

from .port import Match


@dataclass(frozen=True, slots=True)
class Shape:
    """`family` is 4, 6, or 0 where no address is given; `local` and `remote` are prefix lengths or None."""

    family: int
    proto: bool
    local: int | None
    local_port: bool
    remote: int | None
    remote_port: bool

    @property
    def rank(self) -> tuple:
        """Narrower shapes have a smaller rank.

        Counted is how much is fixed: a whole field is 128, a prefix its part of it. A shape that is narrower than
        another in one field and not wider in any therefore always goes before it. Shapes that fix equally much are
        ordered by what a person would call more specific: remote address, local address, remote port, local port.
        """
        full = 32 if self.family == 4 else 128
        fixed = [(length + 1) * 128 // (full + 1) if length is not None else 0 for length in (self.remote, self.local)]
        fixed += [128 * self.remote_port, 128 * self.local_port, 128 * self.proto]
        return (-sum(fixed), *(-f for f in fixed), self.family)

    @property
    def name(self) -> str:
        """An identifier, the same for the same shape: `remote4_32_remote_port_proto`; `all` has no field."""
        words = []
        if self.local is not None:
            words.append(f"local{self.family}_{self.local}")
        if self.local_port:
            words.append("local_port")
        if self.remote is not None:
            words.append(f"remote{self.family}_{self.remote}")
        if self.remote_port:
            words.append("remote_port")
        if self.proto:
            words.append("proto")
        return "_".join(words) or "all"


def split_prefix(address: str) -> tuple[str, int]:
    """`10.0.0.0/8` -> (`10.0.0.0`, 8); a single address has the full length."""
    text, slash, length = address.partition("/")
    return text, int(length) if slash else (128 if ":" in text else 32)


def shape_of(match: Match) -> Shape:
    address = match.local or match.remote
    return Shape(
        family=0 if address is None else 6 if ":" in address else 4,
        proto=match.proto is not None,
        local=None if match.local is None else split_prefix(match.local)[1],
        local_port=match.local_port is not None,
        remote=None if match.remote is None else split_prefix(match.remote)[1],
        remote_port=match.remote_port is not None,
    )
