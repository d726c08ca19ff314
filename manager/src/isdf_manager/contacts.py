"""Who called last, from where: pulls are collected in memory and written together, apart from the answers.

A pull that ends in 304 so costs no transaction of its own. What a `kill -9` takes are the pulls of the last moment; the
next pull of a router tells the same.
"""

from __future__ import annotations

import logging
import threading

import sqlalchemy as sa

from isdf.errors import IsdfError

from . import storage

log = logging.getLogger(__name__)
_PAUSE = 0.05  # seconds between two transactions; a push that waits for its pull sees it so much later
_PATIENCE = 1.0  # seconds after one that failed
_PULLED = (
    storage.contact.update()
    .where(storage.contact.c.device == sa.bindparam("name"))
    .values(
        time=sa.bindparam("now"), pulled_at=sa.bindparam("now"), address=sa.bindparam("from"),
        pulled=sa.bindparam("serial"), pulls=storage.contact.c.pulls + sa.bindparam("count"),
    )
)  # fmt: skip


class Contacts:
    """Writes in a thread of its own, from `start` to `stop`; `flush` writes at once."""

    def __init__(self, store: storage.Storage) -> None:
        self._store = store
        self._waiting: dict[str, dict] = {}  # by device, so that it cannot grow beyond them
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._some, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="contacts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after all is written."""
        self._end.set()
        self._some.set()
        if self._thread.is_alive():
            self._thread.join()
        self._try()

    def pulled(self, device: str, serial: int, address: str, now: float) -> None:
        """`device` was given the publication `serial` at `now` (Unix seconds)."""
        with self._lock:
            count = self._waiting[device]["count"] + 1 if device in self._waiting else 1
            self._waiting[device] = {"name": device, "now": now, "from": address, "serial": serial, "count": count}
        self._some.set()

    def flush(self) -> None:
        """Write what waits; what cannot be written waits on, and the reason is raised."""
        with self._writing:
            with self._lock:
                written, self._waiting = self._waiting, {}
            if not written:
                return
            try:
                with self._store.write() as connection:
                    connection.execute(_PULLED, list(written.values()))
            except BaseException:
                with self._lock:
                    for device, row in written.items():
                        newer = self._waiting.setdefault(device, row | {"count": 0})
                        newer["count"] += row["count"]
                raise

    def _try(self) -> bool:
        try:
            self.flush()
        except IsdfError as error:
            log.error("the last pulls are not written yet: %s", error)
        except Exception:
            log.exception("the last pulls are not written yet")
        else:
            return True
        return False

    def _run(self) -> None:
        while not self._end.is_set():
            self._some.wait()
            self._some.clear()
            pause = _PAUSE if self._try() else _PATIENCE
            if pause == _PATIENCE:
                self._some.set()
            self._end.wait(pause)
