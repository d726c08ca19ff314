"""/metrics in Prometheus' text format: sums over all devices, nothing about any one of them.

What is counted of a device goes on counting when it is removed (the table `manager`): a counter never falls.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import sqlalchemy as sa

from . import storage

_PAUSE = 60.0  # seconds between two looks at the database, whose tables are long


class Metrics:
    """Counts what this process answers; threads share it."""

    def __init__(self, store: storage.Storage, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._answers: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._stored, self._looked = "", -_PAUSE

    def answered(self, endpoint: str, status: int) -> None:
        """`endpoint` (one of the routes', or "none") answered with `status`."""
        with self._lock:
            self._answers[endpoint, status] += 1

    def render(self) -> str:
        """The text; what is read from the database is up to a minute old."""
        if time.monotonic() - self._looked >= _PAUSE:
            with self._store.read() as connection:
                self._stored = _stored(connection, self._clock())
            self._looked = time.monotonic()
        with self._lock:
            answers = sorted(self._answers.items())
        lines = _head("isdf_requests_total", "counter", "Answers of this process since its start.")
        lines += [f'isdf_requests_total{{endpoint="{e}",status="{s}"}} {number}' for (e, s), number in answers]
        return "\n".join(lines) + "\n" + self._stored


def _stored(connection: sa.Connection, now: float) -> str:
    device, contact, order = storage.device, storage.contact, storage.order
    devices, pushes = connection.execute(sa.select(sa.func.count(), sa.func.sum(device.c.pushes))).one()
    query = sa.select(sa.func.sum(contact.c.failures), sa.func.count(sa.case((contact.c.time > now - 3600, 1))))
    failures, seen = connection.execute(query).one()
    removed = connection.execute(sa.select(storage.manager)).one()
    pushes, failures = (pushes or 0) + removed.pushes, (failures or 0) + removed.failures
    states = dict(connection.execute(sa.select(order.c.state, sa.func.count()).group_by(order.c.state)).all())
    lines = []
    for name, kind, text, value in (
        ("isdf_devices", "gauge", "Devices that are known.", devices),
        ("isdf_devices_seen", "gauge", "Devices that called in the last hour.", seen),
        (
            "isdf_pushes_total",
            "counter",
            "Pushes begun (repeated datagrams count once).",
            pushes,
        ),
        ("isdf_failures_total", "counter", "Reports of something that failed.", failures),
    ):
        lines += [*_head(name, kind, text), f"{name} {value}"]
    lines += _head("isdf_orders", "gauge", "Orders by state.")
    lines += [f'isdf_orders{{state="{state}"}} {states.get(state, 0)}' for state in storage.OPEN]
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
