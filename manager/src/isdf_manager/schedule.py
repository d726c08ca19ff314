"""The manager's own clock: a thread of `serve` that ends passes, withdraws them in the core and retries what failed.

All it knows is in the database, so that nothing is forgotten over a restart or `kill -9`, and several may run at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from isdf.errors import IsdfError

from .settling import Settling

log = logging.getLogger(__name__)
_LOOK = 1.0  # seconds between looks for orders that a command line has made meanwhile


class Schedule:
    """`start()` in the process that serves; `tick()` is one look, for tests as well."""

    def __init__(self, settling: Settling, workers: int = 4, clock: Callable[[], float] = time.time) -> None:
        self._settling, self._clock = settling, clock
        self._pool = ThreadPoolExecutor(workers, "hook")  # one hook that hangs does not keep the others
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the hooks that are running; what waits for its turn is taken up by the next `serve`."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    def tick(self) -> float:
        """Start all that is due; seconds until the next look."""
        now = self._clock()
        self._settling.end_what_is_over()
        for order in self._settling.owed():
            with self._lock:
                if order in self._busy:
                    continue
                self._busy.add(order)
            self._pool.submit(self._settle, order)
        due = self._settling.next_due(after=now)  # what was due before is at work, or waits for its turn
        return _LOOK if due is None else min(_LOOK, max(0.01, due - self._clock()))

    def _settle(self, order: str) -> None:
        try:
            self._settling.settle(order)
        except Exception:
            log.exception("order %s could not be settled; it is tried again", order)
        finally:
            with self._lock:
                self._busy.discard(order)

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self.tick()
            except IsdfError as error:
                log.error("the schedule cannot look at the orders: %s", error)
                pause = _LOOK
            except Exception:
                log.exception("the schedule failed; it looks again")
                pause = _LOOK
