"""By which of its addresses this router reaches another: what the kernel would choose now. Nothing is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterable

WORLD = ("192.0.2.1", "2001:db8::1")
"""Addresses of nobody (RFC 5737, RFC 3849): the way there is the way out, by either family."""


def ours(other: str) -> str | None:
    """Our address on the way to the address `other`; None where there is no way."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in other else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))
            return probe.getsockname()[0]
    except OSError:
        return None


def noted(others: Iterable[str] = WORLD) -> dict[str, str | None]:
    """Our address on the way to each of `others`."""
    return {other: ours(other) for other in others}


def is_another(noted: dict[str, str | None]) -> bool:
    """Whether there is a way to one of those in `noted` that is another than then; one that is gone is none."""
    return any((now := ours(other)) is not None and now != then for other, then in noted.items())
