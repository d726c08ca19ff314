"""Work on an order: a claim that runs out by itself, and the hook that is called under it.

Whoever works on an order holds its claim; an order whose process was killed is free again when the claim has run out. A
claim is taken back from who came too late, too: the clock may have been set, or the process stopped for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from isdf.errors import ConflictError, FailedError

from . import storage
from .provision import LONGEST, Hook, HookError, Request

table = storage.order
_MARGIN = 5.0  # seconds that a claim lasts beyond what its hook may take
_FARTHEST = LONGEST + _MARGIN  # what would last longer was taken before the clock was set back


class LateError(FailedError):
    """The claim had run out before the work was done: the clock was set, or the process was stopped for a while."""


class Claims:
    """Takes orders to work on them and calls their hooks; `clock` gives Unix seconds."""

    def __init__(
        self, store: storage.Storage, hooks: dict[str, Hook], clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._store, self._hooks, self._clock, self._sleep = store, hooks, clock, sleep

    def call(
        self, verb: str, order: str, device: str, service: str, config: dict, until: int | None,
        patiently: bool = True, hooked: bool = False,
    ) -> float | None:  # fmt: skip
        """Milliseconds that the hook took, None where the service has none (and had none, `hooked`, before)."""
        hook = self._hooks.get(service)
        if hook is None and hooked:
            raise HookError(f"manager.yaml as this process read it names no hook for {service} any more", never=True)
        if hook is None:
            return None
        request = Request(verb, order, device, service, config, until)
        begun = time.monotonic()
        if patiently:
            hook.patiently(request, self._sleep)
        else:
            hook.call(request)
        return (time.monotonic() - begun) * 1000

    def longest(self, service: str) -> float:
        """Seconds that work on an order of `service` may take."""
        hook = self._hooks.get(service)
        return _MARGIN + (hook.longest if hook else 0.0)

    def hooked(self, service: str) -> bool:
        """Whether `service` has a hook."""
        return service in self._hooks

    def take(self, connection: sa.Connection, sold: sa.Row, claim: str, **values) -> None:
        """Take the order `sold`, which is free, in the caller's transaction, and change it by `values`."""
        until = self._clock() + self.longest(sold.service)
        values["hooked"] = sold.hooked or sold.service in self._hooks
        connection.execute(table.update().where(table.c.id == sold.id).values(claim=claim, claim_until=until, **values))

    def release(self, connection: sa.Connection, order: str, claim: str, **values) -> None:
        """Let go of `order`, changed by `values`, in the caller's transaction; `LateError` if the claim was lost."""
        mine = sa.and_(table.c.id == order, table.c.claim == claim)
        done = connection.execute(table.update().where(mine).values(claim=None, claim_until=0, **values))
        if done.rowcount != 1:
            raise LateError(f"order {order} took too long and was taken back meanwhile; look at it with 'status'")

    @contextmanager
    def undone_if_late(self, order: str, restoring: bool = False) -> Iterator[None]:
        """What is provisioned inside after its claim ran out is to be undone: who took the order over meanwhile did not
        know of it, so the order is taken from them, to be withdrawn or set back once more."""
        try:
            yield
        except LateError:
            try:
                with self._store.write() as connection:
                    sold = connection.execute(sa.select(table).where(table.c.id == order)).one()
                    if sold.state != "active":
                        again = {"state": "ending", "ended": None}
                    elif restoring and sold.claim:
                        raise  # they set it back as well, and two would do it in turns for ever
                    else:
                        again = {"next_config": sold.config}
                    values = {"claim": None, "claim_until": 0, "attempts": 0, "retry_at": 0, **again}
                    connection.execute(table.update().where(table.c.id == order).values(values))
            except ConflictError:  # the device has the service again, as another order
                self.call("withdraw", order, sold.device, sold.service, sold.config, sold.until, True, sold.hooked)
            raise


def is_free(sold: sa.Row, now: float) -> bool:
    """Whether nobody works on the order `sold`."""
    return sold.claim is None or not now < sold.claim_until <= now + _FARTHEST


def free(query: sa.Select, now: float) -> sa.Select:
    """`query` of orders, those alone on which nobody works."""
    until = table.c.claim_until
    return query.where(sa.or_(table.c.claim.is_(None), until <= now, until > now + _FARTHEST))
