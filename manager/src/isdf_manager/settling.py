"""What the manager owes the ISP's core: withdrawals of what is over, and setting back what was half done.

`schedule` looks for it and does it; a try that fails comes again later, for as long as it takes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import sqlalchemy as sa

from . import audit, storage
from .claims import Claims, free
from .provision import HookError

table = storage.order
_BACKOFF = (1, 2, 5, 15, 60, 300)  # seconds between tries


class Settling:
    """Ends orders and settles them with the core; `who` is written into the audit log, `clock` gives Unix seconds."""

    def __init__(
        self, store: storage.Storage, claims: Claims, who: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._claims, self._who, self._clock = store, claims, who, clock

    def end_what_is_over(self) -> None:
        """Orders whose time is over, or whose process died before they were sold, are to be withdrawn."""
        now = self._clock()
        over = sa.and_(table.c.state == "active", table.c.until <= now)
        done = free(sa.select(table), now).where(sa.or_(over, table.c.state == "ordered"))
        with self._store.read() as connection:
            if connection.execute(done.limit(1)).first() is None:
                return
        with self._store.write() as connection:
            for row in connection.execute(done.with_for_update()).all():
                values = {"state": "ending", "next_config": None, "attempts": 0, "retry_at": 0}
                connection.execute(table.update().where(table.c.id == row.id).values(values))
                action = "abandoned" if row.state == "ordered" else "over"
                audit.record(connection, self._who, action, row.device, row.service, order=row.id)

    def owed(self) -> list[str]:
        """Orders for which a hook is to be called now: withdrawn, or set back after a `configure` that died."""
        now = self._clock()
        ending = table.c.state == "ending"
        half_done = sa.and_(table.c.state == "active", table.c.next_config.is_not(None))
        # What would come later than any pause was put down before the clock was set back.
        due = sa.or_(table.c.retry_at <= now, table.c.retry_at > now + _BACKOFF[-1])
        with self._store.read() as connection:
            return [
                order
                for kind in (ending, half_done)  # apart, for each has an index of its own
                for order in connection.execute(free(sa.select(table.c.id), now).where(kind, due)).scalars()
            ]

    def settle(self, order: str) -> None:
        """One try at what is owed for `order`; the next comes later by itself if it fails."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            mine = free(sa.select(table), now).where(table.c.id == order)
            sold = connection.execute(mine.with_for_update()).first()
            if sold is None or (sold.state != "ending" and sold.next_config is None):
                return
            self._claims.take(connection, sold, claim)
        try:
            if sold.state == "ending":
                self.withdraw(sold, claim)
            else:
                with self._claims.undone_if_late(order, restoring=True):
                    self.restore(sold, claim)
        except HookError:
            pass  # written down with the order

    def next_due(self, after: float = -1) -> float | None:
        """When there will be something to do later than `after`, in Unix seconds; None: nothing that is known now."""
        over = sa.select(sa.func.min(table.c.until)).where(table.c.state == "active", table.c.until > after)
        again = sa.case((table.c.claim_until > table.c.retry_at, table.c.claim_until), else_=table.c.retry_at)
        owed = sa.select(sa.func.min(again)).where(table.c.state.in_(("ordered", "ending")), again > after)
        with self._store.read() as connection:
            times = [connection.execute(query).scalar() for query in (over, owed)]
        return min((t for t in times if t is not None), default=None)

    def withdraw(self, sold: sa.Row, claim: str, patiently: bool = False) -> float | None:
        """Have the core let go of the order; milliseconds in the hook. `HookError`: it comes again by itself."""
        try:
            spent = self._claims.call(
                "withdraw", sold.id, sold.device, sold.service, sold.config, sold.until, patiently, sold.hooked
            )
        except HookError as error:
            self._owe(sold, claim, error)
            raise
        with self._store.write() as connection:
            self._claims.release(connection, sold.id, claim, state="ended", ended=self._clock(), trouble=None)
            audit.record(connection, self._who, "withdrawn", sold.device, sold.service, order=sold.id)
        return spent

    def restore(self, sold: sa.Row, claim: str, failed: HookError | None = None) -> None:
        """Back to the configuration that is sold, after a `configure` that failed or died."""
        try:
            if failed is None or not failed.never:
                self._claims.call(
                    "provision", sold.id, sold.device, sold.service, sold.config, sold.until, False, sold.hooked
                )
        except HookError as error:
            self._owe(sold, claim, error)
            return
        with self._store.write() as connection:
            self._claims.release(connection, sold.id, claim, next_config=None, attempts=0, trouble=None)

    def leave(self, order: str, claim: str, error: HookError) -> None:
        """An order that the hook failed: it may have done half, so it is withdrawn."""
        state = {"state": "refused", "ended": self._clock()} if error.never else {"state": "ending"}
        with self._store.write() as connection:
            self._claims.release(connection, order, claim, trouble=str(error), **state)
            row = connection.execute(sa.select(table).where(table.c.id == order)).one()
            audit.record(
                connection, self._who, "provision failed", row.device, row.service, order=order, error=str(error)
            )
        if not error.never:
            self.settle(order)

    def _owe(self, sold: sa.Row, claim: str, error: HookError) -> None:
        retry_at = self._clock() + _BACKOFF[min(sold.attempts, len(_BACKOFF) - 1)]
        with self._store.write() as connection:
            self._claims.release(
                connection, sold.id, claim, attempts=sold.attempts + 1, retry_at=retry_at, trouble=str(error)
            )
