"""A logger that costs nothing until somebody wants one.

`logging` is 2 MB of private memory; a service that has nothing to say shall not pay that. Where the process has
imported it (the agent does), records go there; elsewhere they are lines on stderr, which procd puts into the log.
"""

import sys

_QUIET = ("debug", "info")  # levels that are passed over, as by an unconfigured `logging`


class Log:
    """`Log(__name__)` has the methods of `logging.getLogger(__name__)` that iSDF uses: debug to error, exception."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, level: str):
        if logging := sys.modules.get("logging"):
            return getattr(logging.getLogger(self._name), level)
        return lambda text, *values: self._write(level, text, values)

    def _write(self, level: str, text: str, values: tuple) -> None:
        if level in _QUIET:
            return
        print(text % values if values else text, file=sys.stderr, flush=True)
        if level == "exception":
            sys.__excepthook__(*sys.exc_info())
