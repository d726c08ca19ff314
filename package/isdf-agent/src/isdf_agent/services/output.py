"""How the processes of services ended, and what they printed last, from the router's log.

procd hands each line to syslog under the name and the number of the process, `python3[123]: line`; `logread` gives them
back. It runs as a short-lived child, and only when a service failed; what it prints is cut before it reaches us.

Reference: openwrt/procd `service/instance.c` (instance_stdio), openwrt/ubox `log/logread.c`.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.formats.assignment import PREFIX
from isdf.log import Log
from isdf.loop import Loop

from .ports import Procd

log = Log(__name__)

WORDS = 2048  # characters that are of interest
_TIMEOUT = 15.0  # seconds; logread looks for the log itself for ten
_COMMAND = 'logread -e "$1" 2>/dev/null | tail -c 8192'


class LastWords:
    """Told of starts (`begin`) and of processes that `ended`; `of(name, done)` looks into the log."""

    def __init__(self, procd: Procd, loop: Loop) -> None:
        self._procd, self._loop = procd, loop
        self._ended: dict[str, tuple[int, int | None]] = {}  # exit status and process, of the last one since the start

    def begin(self, name: str) -> None:
        self._ended.pop(name, None)

    def ended(self, name: str, exit_code: int, pid: int | None) -> None:
        self._ended[name] = (exit_code, pid)

    def of(self, name: str, done: Callable[[tuple[int | None, str | None]], None]) -> None:
        """Call `done` with the exit status since the start of `name` (None: its process runs), and its last words."""
        status, pid = self._ended.get(name, (None, None))

        def listed(instances: dict[str, dict] | None) -> None:
            running = (instances or {}).get(PREFIX + name, {}).get("pid")
            self._read(running, lambda text: done((status, text)))

        if pid:
            self._read(pid, lambda text: done((status, text)))
        else:
            self._procd.list(listed)

    def _read(self, pid: int | None, done: Callable[[str], None]) -> None:
        if not pid:
            done("")
            return
        argv = ["/bin/sh", "-c", _COMMAND, "sh", rf"^python3\[{pid}\]: "]
        try:
            self._loop.child(argv, lambda status, printed: done(cut(printed, f"python3[{pid}]: ")), timeout=_TIMEOUT)
        except OSError as error:
            log.warning("the log is not read: %s", error)
            done("")


def cut(printed: bytes, mark: str) -> str:
    """The end of what follows `mark` in each line: plain text, of which only the ends of lines are kept."""
    lines = [line.partition(mark)[2] for line in printed.decode(errors="replace").split("\n") if mark in line]
    text = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
    return text[-WORDS:]
