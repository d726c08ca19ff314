"""Rates and the access line: base and all guaranteed rates must fit into it, in both directions."""

from __future__ import annotations

from isdf.errors import InvalidError, LineFullError
from isdf.model import Line, Rate, format_rate, parse_rate


def rate_of(line: Line, rate, ceil=None, up=None, up_ceil=None) -> Rate:
    """The rates of a class as asked for (see `isdf.model.parse_rate`); a ceil beyond the line is the line."""
    down = parse_rate(rate)
    up = down if up is None else parse_rate(up)
    down_ceil = down if ceil is None else parse_rate(ceil)
    up_ceil = up if up_ceil is None else parse_rate(up_ceil)
    for name, least, most in (("ceil", down, down_ceil), ("up_ceil", up, up_ceil)):
        if most < least:
            raise InvalidError(f"{name} {format_rate(most)} is less than the guaranteed rate, {format_rate(least)}")
    return Rate(down, up, min(down_ceil, max(line.down, down)), min(up_ceil, max(line.up, up)))


def left_of(line: Line, rates: list[Rate]) -> tuple[int, int]:
    """Bit/s that are left down and up beside the base and `rates`; negative where the line is overcommitted."""
    return (
        line.down - line.base_down - sum(r.down for r in rates),
        line.up - line.base_up - sum(r.up for r in rates),
    )


def check_line(line: Line, others: list[Rate], rate: Rate) -> None:
    """`LineFullError` if `rate` does not fit beside the classes `others`. It tells sums, not who holds them."""
    left_down, left_up = left_of(line, others)
    for wanted, left, carries, base, held, direction in (
        (rate.down, left_down, line.down, line.base_down, sum(r.down for r in others), "down"),
        (rate.up, left_up, line.up, line.base_up, sum(r.up for r in others), "up"),
    ):
        if wanted > left:
            number = format_rate(base).removesuffix(" kB/s"), format_rate(held).removesuffix(" kB/s")
            raise LineFullError(
                f"rate {format_rate(wanted)} does not fit {direction}: {format_rate(carries)} line, {number[0]} base, "
                f"{number[1]} held by classes, {format_rate(max(0, left))} left"
            )
