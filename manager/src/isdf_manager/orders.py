"""Orders: from `subscribe` to the withdrawal, so that what the ISP's core holds and what is sold never part for long.

    ordered --provisioned--> active --cancelled, or its time is over--> ending --withdrawn--> ended
       |                                                                   ^
       +--the hook failed, or whoever ran it died: it may have done half---+        (refused: the hook never began)

Each step is one transaction; a hook runs between two of them. Who runs it holds a *claim* on the order that runs out
by itself, so that an order whose process was killed is taken up again by `serve` (`schedule`). Only an active order is
in an assignment, and there is one open order for a device and a service (an index of the database keeps it).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from isdf.errors import ConflictError, FailedError, InvalidError, NotFoundError

from . import audit, catalogue, configuration, devices, storage
from .clock import format_time
from .provision import Hook, HookError, Request
from .publications import Publications

table = storage.order
_MARGIN = 5.0  # seconds that a claim lasts beyond what its hook may take
_BACKOFF = (1, 2, 5, 15, 60, 300)  # seconds between tries of a withdrawal that fails


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation did: the order's id, the serial that carries it, the pass's end (None: until cancelled),
    milliseconds in the hook (None: no hook), when it was published, what the hook said if the core was left behind."""

    order: str
    serial: int
    until: int | None
    provision_ms: float | None
    time: float
    trouble: str | None = None


class LateError(FailedError):
    """The claim had run out before the work was done: the clock was set, or the process was stopped for a while."""


class Orders:
    """The operations; `who` is written into the audit log, `clock` gives Unix seconds."""

    def __init__(
        self, store: storage.Storage, publications: Publications, hooks: dict[str, Hook], who: str,
        clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._store, self._publications, self._hooks, self._who = store, publications, hooks, who
        self._clock, self._sleep = clock, sleep

    def subscribe(
        self, device: str, service: str, words: list[str], length: int | None = None, until: int | None = None
    ) -> Change:
        """Sell `service` to `device` for `length` seconds or `until` (Unix seconds; neither: until cancelled).

        Provisions first; `HookError` when the core did not take it, and then nothing is sold. `ConflictError` when the
        device has the service already, `InvalidError` for a configuration that its schema does not allow.
        """
        self._finish_old(device, service)
        claim, order, now = secrets.token_hex(8), secrets.token_hex(8), self._clock()
        starts = int(now)
        if length is not None:
            until = starts + length
        if until is not None and until <= starts:
            raise InvalidError(f"the time {format_time(until)} is over already; give a later one")
        with self._store.write() as connection:
            devices.find(connection, device)
            package = catalogue.newest(connection, service)
            config = configuration.change({}, words, package.manifest["configuration"])
            if old := _open(connection, device, service):
                raise ConflictError(_in_the_way(old))
            connection.execute(
                table.insert().values(
                    id=order, device=device, service=service, state="ordered", config=config, starts=starts,
                    until=until, created=now, claim=claim, claim_until=now + self._longest(service),
                    hooked=service in self._hooks,
                )
            )  # fmt: skip
            audit.record(connection, self._who, "order", device, service, order=order, config=config, until=until)
        with self._undone_if_late(order):
            try:
                spent = self._call("provision", order, device, service, config, until)
            except HookError as error:
                self._leave(order, claim, error)
                raise HookError(f"{error}; {device} does not get {service}, nothing was sold") from None
            with self._store.write() as connection:
                self._release(connection, order, claim, state="active")
                serial = self._publications.make(connection, device, self._clock())
                audit.record(connection, self._who, "subscribe", device, service, order=order, serial=serial)
        return Change(order, serial, until, spent, self._clock())

    def configure(self, device: str, service: str, words: list[str]) -> Change:
        """Change the configuration of what `device` has: the core first; `HookError` leaves all as it was."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            devices.find(connection, device)
            sold = _open(connection, device, service)
            if sold is None or sold.state != "active" or _over(sold, now):
                raise NotFoundError(_has_not(device, service))
            _unclaimed(sold, now)
            package = catalogue.newest(connection, service)
            config = configuration.change(sold.config, words, package.manifest["configuration"])
            self._take(connection, sold, claim, next_config=config)
        with self._undone_if_late(sold.id):
            try:
                spent = self._call("provision", sold.id, device, service, config, sold.until, hooked=sold.hooked)
            except HookError as error:
                self._restore(sold, claim, error)
                raise HookError(f"{error}; {service} of {device} stays as it was") from None
            with self._store.write() as connection:
                self._release(
                    connection, sold.id, claim, config=config, next_config=None, attempts=0, retry_at=0, trouble=None
                )
                serial = self._publications.make(connection, device, self._clock())
                audit.record(
                    connection, self._who, "configure", device, service, order=sold.id, serial=serial,
                    before=sold.config, after=config,
                )  # fmt: skip
        return Change(sold.id, serial, sold.until, spent, self._clock())

    def unsubscribe(self, device: str, service: str) -> Change:
        """End what `device` has of `service`, whether the core lets go of it at once or not (`Change.trouble`)."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            devices.find(connection, device)
            sold = _open(connection, device, service)
            if sold is None:
                raise NotFoundError(_has_not(device, service))
            _unclaimed(sold, now)
            self._take(connection, sold, claim, state="ending", next_config=None)
            serial = self._publications.make(connection, device, now)
            audit.record(connection, self._who, "unsubscribe", device, service, order=sold.id, serial=serial)
        try:
            spent = self._withdraw(sold, claim, patiently=True)
        except HookError as error:
            return Change(sold.id, serial, sold.until, None, now, str(error))
        return Change(sold.id, serial, sold.until, spent, now)

    # What `schedule` does.

    def end_what_is_over(self) -> None:
        """Orders whose time is over, or whose process died before they were sold, are to be withdrawn."""
        now = self._clock()
        over = sa.and_(table.c.state == "active", table.c.until <= now)
        done = _free(sa.select(table), now).where(sa.or_(over, table.c.state == "ordered"))
        with self._store.read() as connection:
            if connection.execute(done.limit(1)).first() is None:
                return
        with self._store.write() as connection:
            for row in connection.execute(done).all():
                values = {"state": "ending", "next_config": None, "attempts": 0, "retry_at": 0}
                connection.execute(table.update().where(table.c.id == row.id).values(values))
                action = "abandoned" if row.state == "ordered" else "over"
                audit.record(connection, self._who, action, row.device, row.service, order=row.id)

    def owed(self) -> list[str]:
        """Orders for which a hook is to be called now: withdrawn, or set back after a `configure` that died."""
        now = self._clock()
        ending = table.c.state == "ending"
        half_done = sa.and_(table.c.state == "active", table.c.next_config.is_not(None))
        with self._store.read() as connection:
            return [
                order
                for kind in (ending, half_done)  # apart, for each has an index of its own
                for order in connection.execute(
                    _free(sa.select(table.c.id), now).where(kind, table.c.retry_at <= now)
                ).scalars()
            ]

    def settle(self, order: str) -> None:
        """One try at what is owed for `order`; the next comes later by itself if it fails."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            sold = connection.execute(_free(sa.select(table), now).where(table.c.id == order)).first()
            if sold is None or (sold.state != "ending" and sold.next_config is None):
                return
            self._take(connection, sold, claim)
        try:
            if sold.state == "ending":
                self._withdraw(sold, claim)
            else:
                with self._undone_if_late(order, restoring=True):
                    self._restore(sold, claim)
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

    # The parts.

    def _finish_old(self, device: str, service: str) -> None:
        """Withdraw what is left of an order before, so that its late withdrawal cannot hit the one to come."""
        deadline = self._clock() + self._longest(service)
        while True:
            self.end_what_is_over()
            with self._store.read() as connection:
                old = _open(connection, device, service)
            if old is None or old.state == "active" or self._clock() >= deadline:
                return
            if old.claim is not None and old.claim_until > self._clock():
                self._sleep(0.05)  # somebody is at it
            elif old.state == "ending":
                self.settle(old.id)
                with self._store.read() as connection:
                    trouble = connection.execute(sa.select(table.c.trouble).where(table.c.id == old.id)).scalar()
                if trouble:
                    raise HookError(f"{trouble}; the order before is not withdrawn yet, so nothing was sold")

    def _withdraw(self, sold: sa.Row, claim: str, patiently: bool = False) -> float | None:
        try:
            spent = self._call(
                "withdraw", sold.id, sold.device, sold.service, sold.config, sold.until, patiently, sold.hooked
            )
        except HookError as error:
            self._owe(sold, claim, error)
            raise
        with self._store.write() as connection:
            self._release(connection, sold.id, claim, state="ended", ended=self._clock(), trouble=None)
            audit.record(connection, self._who, "withdrawn", sold.device, sold.service, order=sold.id)
        return spent

    def _restore(self, sold: sa.Row, claim: str, failed: HookError | None = None) -> None:
        """Back to the configuration that is sold, after a `configure` that failed or died."""
        try:
            if failed is None or not failed.never:
                self._call("provision", sold.id, sold.device, sold.service, sold.config, sold.until, False, sold.hooked)
        except HookError as error:
            self._owe(sold, claim, error)
            return
        with self._store.write() as connection:
            self._release(connection, sold.id, claim, next_config=None, attempts=0, trouble=None)

    def _leave(self, order: str, claim: str, error: HookError) -> None:
        """An order that the hook failed: it may have done half, so it is withdrawn."""
        state = {"state": "refused", "ended": self._clock()} if error.never else {"state": "ending"}
        with self._store.write() as connection:
            self._release(connection, order, claim, trouble=str(error), **state)
            row = connection.execute(sa.select(table).where(table.c.id == order)).one()
            audit.record(
                connection, self._who, "provision failed", row.device, row.service, order=order, error=str(error)
            )
        if not error.never:
            self.settle(order)

    def _owe(self, sold: sa.Row, claim: str, error: HookError) -> None:
        retry_at = self._clock() + _BACKOFF[min(sold.attempts, len(_BACKOFF) - 1)]
        with self._store.write() as connection:
            self._release(connection, sold.id, claim, attempts=sold.attempts + 1, retry_at=retry_at, trouble=str(error))

    @contextmanager
    def _undone_if_late(self, order: str, restoring: bool = False) -> Iterator[None]:
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
                self._call("withdraw", order, sold.device, sold.service, sold.config, sold.until, True, sold.hooked)
            raise

    def _call(
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

    def _longest(self, service: str) -> float:
        hook = self._hooks.get(service)
        return _MARGIN + (hook.longest if hook else 0.0)

    def _take(self, connection: sa.Connection, sold: sa.Row, claim: str, **values) -> None:
        until = self._clock() + self._longest(sold.service)
        values["hooked"] = sold.hooked or sold.service in self._hooks
        connection.execute(table.update().where(table.c.id == sold.id).values(claim=claim, claim_until=until, **values))

    def _release(self, connection: sa.Connection, order: str, claim: str, **values) -> None:
        mine = sa.and_(table.c.id == order, table.c.claim == claim)
        done = connection.execute(table.update().where(mine).values(claim=None, claim_until=0, **values))
        if done.rowcount != 1:
            raise LateError(f"order {order} took too long and was taken back meanwhile; look at it with 'status'")


def _free(query: sa.Select, now: float) -> sa.Select:
    return query.where(sa.or_(table.c.claim.is_(None), table.c.claim_until <= now))


def _open(connection: sa.Connection, device: str, service: str) -> sa.Row | None:
    mine = (table.c.device == device, table.c.service == service, table.c.state.in_(storage.OPEN))
    return connection.execute(sa.select(table).where(*mine)).first()


def _over(sold: sa.Row, now: float) -> bool:
    return sold.until is not None and sold.until <= now


def _unclaimed(sold: sa.Row, now: float) -> None:
    if sold.claim is not None and sold.claim_until > now:
        raise ConflictError(_in_the_way(sold))


def _in_the_way(sold: sa.Row) -> str:
    if sold.state == "active" and sold.claim is None:
        return (
            f"{sold.device} has {sold.service} already (order {sold.id}, until {format_time(sold.until, 'cancelled')})"
            "; change it with 'configure' or end it with 'unsubscribe'"
        )
    return f"order {sold.id} of {sold.service} for {sold.device} is being worked on; try again in a few seconds"


def _has_not(device: str, service: str) -> str:
    return f"{device} does not have {service!r}; 'isdf-manager status' tells what it has"
