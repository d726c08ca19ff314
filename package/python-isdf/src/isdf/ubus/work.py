"""What is to be done by the loop, one piece after the other, never one inside another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..log import Log

log = Log(__name__)


class Work:
    """A queue of calls that a loop works off; it waits while there is no loop."""

    __slots__ = ("_busy", "_loop", "_queue")

    def __init__(self) -> None:
        self._queue: deque[tuple[Callable, tuple]] = deque()
        self._loop = None
        self._busy = False  # a piece is being done, or the loop has been asked to go on

    def attach(self, loop) -> None:
        self._loop, self._busy = loop, False
        self._schedule()

    def add(self, callback: Callable, *args: object) -> None:
        """Have the loop call `callback(*args)`, after what is queued already."""
        self._queue.append((callback, args))
        self._schedule()

    def clear(self) -> None:
        self._queue.clear()

    def around(self, read: Callable[[], None]) -> None:
        """Call `read`, then do at once what it has added: spares the loop a round."""
        if self._busy:
            read()
            return
        self._busy = True
        try:
            read()
        finally:
            self._go_on()

    def _schedule(self) -> None:
        if self._loop and self._queue and not self._busy:
            self._busy = True
            self._loop.after(0, self._go_on)

    def _go_on(self) -> None:
        self._busy = True
        try:
            # What this brings about waits for the next round, so that timers and other descriptors have their turn.
            for _ in range(len(self._queue)):
                if not self._queue or not self._loop:
                    break
                callback, args = self._queue.popleft()
                try:
                    callback(*args)
                except Exception:
                    log.exception("a callback failed: %r", callback)
        finally:
            self._busy = False
            self._schedule()
