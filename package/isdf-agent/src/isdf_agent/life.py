"""How an agent ends: told to by a signal, or because the router is somebody else now, and another agent takes over."""

from __future__ import annotations

import signal

from isdf.loop import Loop


class Life:
    """Of the one process that `loop` serves."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._handed_over = self._ended = False

    def run(self) -> bool:
        """Serve until the end; whether another agent must take over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._end)
        if not self._handed_over:
            self._loop.run()
        return self._handed_over and not self._ended

    def hand_over(self) -> None:
        """Another agent is to take over."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nobody would hear of it any more
        self._handed_over = True
        self._loop.stop()

    def _end(self) -> None:
        self._ended = True
        self._loop.stop()
