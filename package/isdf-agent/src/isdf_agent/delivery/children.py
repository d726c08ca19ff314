"""The short-lived processes that talk to the manager: JSON in, JSON or a status out, gone when it is done.

They import what the agent itself must not have in its memory for ever: HTTP, TLS.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from isdf.errors import UnavailableError
from isdf.log import Log
from isdf.loop import Loop

log = Log(__name__)

DEADLINE = 60.0  # seconds in which a child should come to its end by itself
MERCY = 5.0  # seconds more, before it is killed


class Children:
    """Those of one owner; `stop` ends them, and nothing is called back after it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: list = []
        self._stopped = False

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def spawn(self, module: str, told: dict, done: Callable[[int, bytes], None]) -> None:
        """Run `isdf_agent.delivery.<module>`; `done(exit status, what it printed)`."""

        def ended(status: int, output: bytes) -> None:
            self._running.remove(child)
            if not self._stopped:
                done(status, output)

        # -P: no module of the current folder. Secrets go over a pipe, for argv is everybody's to read.
        argv = [sys.executable, "-P", "-m", f"isdf_agent.delivery.{module}"]
        told = told | {"deadline": DEADLINE}
        try:
            child = self._loop.child(argv, ended, stdin=json.dumps(told).encode(), timeout=DEADLINE + MERCY)
        except OSError as error:  # no memory for another process, for example
            log.error("%s does not start: %s", argv[-1], error)
            self._loop.after(0, lambda: self._stopped or done(1, b""))
            return
        self._running.append(child)

    def stop(self) -> None:
        self._stopped = True
        for child in self._running:
            child.kill()
            child.wait()


def outcome(output: bytes, otherwise: str) -> dict:
    """The JSON object that a child printed, or `{"error": ...}` with the sentence `otherwise`."""
    try:
        found = json.loads(output)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": UnavailableError(otherwise).as_dict()}
