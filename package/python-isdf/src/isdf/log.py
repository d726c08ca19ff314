"""A logger that costs nothing until somebody wants one.

`logging` is up to 2 MB of private memory; neither a service that has nothing to say nor the agent shall pay that.
Records are lines on stderr, which procd puts into the log; where the process has imported `logging`, they go there.
"""

import sys

LEVELS = ("debug", "info", "warning", "error", "exception")
_prefix, _quiet = "", LEVELS[:2]


def setup(prefix: str, level: str) -> None:
    """From now on lines begin with `prefix` and their level, and those below `level` are passed over."""
    global _prefix, _quiet
    _prefix, _quiet = prefix, LEVELS[: LEVELS.index(level)]


class Log:
    """`Log(__name__)` has the methods of `logging.getLogger(__name__)` that iSDF uses: those of `LEVELS`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, level: str):
        if logging := sys.modules.get("logging"):
            return getattr(logging.getLogger(self._name), level)
        return lambda text, *values: _write(level, text, values)


def _write(level: str, text: str, values: tuple) -> None:
    if level in _quiet:
        return
    word = "ERROR" if level == "exception" else level.upper()
    print(
        f"{_prefix}: {word}: " if _prefix else "",
        text % values if values else text,
        sep="",
        file=sys.stderr,
        flush=True,
    )
    if level == "exception":
        sys.__excepthook__(*sys.exc_info())
