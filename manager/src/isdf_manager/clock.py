"""Points in time and lengths of time as people write and read them. Inside, all is Unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from isdf.errors import InvalidError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LENGTH = re.compile(r"(?:[0-9]+[smhdw])+\Z")
MAX_LENGTH = 10 * 366 * 86400
END = 253402300800  # the year 10000, which no time reaches


def parse_length(text: object) -> int:
    """Seconds of `90s`, `2h`, `1h30m`, `7d`; 1 second to 10 years, else `InvalidError`."""
    seconds = 0
    if isinstance(text, str) and _LENGTH.match(text):
        seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([smhdw])", text))
    if not 1 <= seconds <= MAX_LENGTH:
        raise InvalidError(f"length {text!r} is not a time such as '90s', '2h', '1h30m' or '7d' of at most 10 years")
    return seconds


def parse_time(text: str) -> int:
    """Unix seconds of an ISO 8601 time (`2026-12-24T18:00Z`; without a zone it is local time) or of `@1790000000`."""
    try:
        when = int(text[1:]) if text.startswith("@") else int(datetime.fromisoformat(text).timestamp())
        datetime.fromtimestamp(when, UTC)  # what cannot be written as a time is none
        return when
    except (ValueError, OverflowError, OSError):
        raise InvalidError(f"time {text!r} is not of the form '2026-12-24T18:00Z' or '@1790000000'") from None


def format_time(when: float | None, none: str = "-") -> str:
    """`2026-12-24 18:00:05Z`; `none` for None, "no time" for what no calendar has (after the year 9999)."""
    if when is None:
        return none
    try:
        return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "no time"


def format_length(seconds: float) -> str:
    """Two units at the most: `45s`, `12m 5s`, `3h 20m`, `5d 2h`."""
    seconds = max(0, round(seconds))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(p for p in parts[:2] if len(parts) == 1 or not p.startswith("0") or p == parts[0])
