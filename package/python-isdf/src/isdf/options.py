"""What options of the section `agent` in /etc/config/isdf take: the agent reads them, the manager writes the first."""

from __future__ import annotations

from collections.abc import Callable

from .errors import InvalidError

PUSH_PORT = 9009


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # as the shell takes it for the firewall's rule, too
        raise ValueError(text)
    return int(text)


def _mask(text: str) -> int:
    return int(text, 0)


# A number: how it is read, what it is where it is not given, the lowest and the highest, and these in words.
_NUMBERS: dict[str, tuple[Callable[[str], float], float, float, float, str]] = {
    "pull_interval": (float, 1800.0, 10, 86400, "10 to 86400"),
    "ready_timeout": (float, 30.0, 1, 600, "1 to 600"),
    "push_port": (_whole, PUSH_PORT, 1, 65535, "1 to 65535"),
    "mark_mask": (_mask, 0xFF000000, 1, 0xFFFFFFFF, "a number of 32 bits such as 0xff000000"),
}
_WORDS = {"dataplane": ("kernel", "memory")}  # the first where it is not given
OPTIONS = (*_NUMBERS, *_WORDS)


def parse(option: str, text: str) -> float | str:
    """What `text` is for `option`, one of `OPTIONS`; its default for "". Times are seconds.

    `InvalidError` names the option and says what it takes: with such a text the agent does not start.
    """
    if option in _WORDS:
        words = _WORDS[option]
        if text and text not in words:
            raise InvalidError(f"{option} is {text!r}; it takes {' or '.join(map(repr, words))}")
        return text or words[0]
    read, value, low, high, takes = _NUMBERS[option]
    if text:
        try:
            value = read(text)
        except ValueError:
            value = float("nan")
    if not low <= value <= high:
        raise InvalidError(f"{option} is {text!r}; it takes {takes}")
    return value
