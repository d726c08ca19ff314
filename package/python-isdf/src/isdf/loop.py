"""One thread, many file descriptors, timers and children: `selectors` and a heap.

No asyncio on the router: it costs 5 MB of private memory a process. What the agent and the SDK need of it is here.
A callback runs to its end; one that raises is logged, and the loop goes on.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable

from .log import Log

log = Log(__name__)


class Timer:
    """A call to come; `cancel()` undoes it. Made by `Loop.after`."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback = when, callback

    def cancel(self) -> None:
        self.callback = None

    @property
    def active(self) -> bool:
        return self.callback is not None


class Loop:
    """`run()` serves readers, writers, timers (monotonic clock) and children until `stop()`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._many = 64  # timers; at so many, those that were cancelled are cleared away
        self._count = itertools.count()
        self._running = False
        self._wake: tuple[socket.socket, socket.socket] | None = None
        self._signals: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, reader: Callable[[], None] | None, writer: Callable[[], None] | None = None) -> None:
        """Call `reader` when `fd` can be read and `writer` when it can be written; both None: forget `fd`."""
        events = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        known = fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, events, (reader, writer))
        else:
            self._selector.register(fd, events, (reader, writer))

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `seconds` from now (0: in the next round)."""
        if len(self._timers) >= self._many:
            # Cancelled timers lie in the heap until their time; a call a millisecond would keep 30,000 deadlines.
            self._timers = [entry for entry in self._timers if entry[2].active]
            heapq.heapify(self._timers)
            self._many = max(64, 2 * len(self._timers))
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._count), timer))
        return timer

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop when the process gets the signal `number`. Main thread only."""
        if self._wake is None:
            self._wake = socket.socketpair()
            for end in self._wake:
                end.setblocking(False)
            signal.set_wakeup_fd(self._wake[1].fileno(), warn_on_full_buffer=False)
            self.watch(self._wake[0].fileno(), self._on_wake)
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)

    def child(
        self, argv: list[str], done: Callable[[int, bytes], None], stdin: bytes = b"", timeout: float = 60, **options
    ):
        """Run `argv` and call `done(exit status, what it printed)` at its end; after `timeout` seconds it is killed.

        `stdin` is fed as fast as the child reads it. The exit status is negative for a signal. `options`
        are those of `isdf.process.Process`, which is the answer.
        """
        from .child import start  # which a service does not need

        return start(self, argv, done, stdin, timeout, **options)

    def run(self) -> None:
        """Serve until `stop` is called."""
        self._running = True
        while self._running:
            self.step(None)

    def stop(self) -> None:
        """Have `run` return when the present callback is done."""
        self._running = False

    def close(self) -> None:
        """Give back what the loop holds; signals have their default effect again."""
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        if self._wake:
            signal.set_wakeup_fd(-1)
            for end in self._wake:
                end.close()
        self._selector.close()

    def step(self, timeout: float | None = 0) -> None:
        """Serve what is ready now, or wait for it up to `timeout` seconds (None: until the next event)."""
        while self._timers and not self._timers[0][2].active:
            heapq.heappop(self._timers)
        if self._timers:
            until = max(0.0, self._timers[0][0] - time.monotonic())
            timeout = until if timeout is None else min(timeout, until)
        for key, events in self._selector.select(timeout):
            # An earlier callback of this round may have forgotten or replaced the descriptor.
            if self._selector.get_map().get(key.fd) is not key:
                continue
            reader, writer = key.data
            if events & selectors.EVENT_READ and reader:
                self._guard(reader)
            if events & selectors.EVENT_WRITE and writer and self._selector.get_map().get(key.fd) is key:
                self._guard(writer)
        now = time.monotonic()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback:
                self._guard(callback)

    def _on_wake(self) -> None:
        try:
            numbers = self._wake[0].recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._signals:
                self._guard(self._signals[number])

    @staticmethod
    def _guard(callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            log.exception("a callback failed: %r", callback)
