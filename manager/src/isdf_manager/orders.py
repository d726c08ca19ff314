"""Orders: from `subscribe` to the withdrawal, so that what the ISP's core holds and what is sold never part for long.

    ordered --provisioned--> active --cancelled, or its time is over--> ending --withdrawn--> ended
       |                                                                   ^
       +--the hook failed, or whoever ran it died: it may have done half---+        (refused: the hook never began)

Each step is one transaction. What it needs of the service (`Storage.keep`), the device's row and the order's it keeps
from others in this sequence, so that no two wait for each other. A hook runs between two of them, under a claim
(`claims`), so that an order whose process was killed is taken up again by `serve` (`settling`). Only an active order is
in an assignment, and there is one open order for a device and a service (an index of the database keeps it).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from isdf.errors import ConflictError, InvalidError, NotFoundError

from . import audit, catalogue, configuration, devices, storage
from .claims import Claims, is_free
from .clock import format_time
from .provision import Hook, HookError
from .publications import Publications
from .settling import Settling

table = storage.order
_PAUSE = 0.05  # seconds between looks at what somebody else works on


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation did: the order's id, the serial that carries it, the pass's end (None: until cancelled),
    milliseconds in the hook (None: no hook), what the hook said if the core was left behind."""

    order: str
    serial: int
    until: int | None
    provision_ms: float | None
    trouble: str | None = None


class Orders:
    """The operations; `who` is written into the audit log, `clock` gives Unix seconds; `settling` is for `serve`."""

    def __init__(
        self, store: storage.Storage, publications: Publications, hooks: dict[str, Hook], who: str,
        clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._store, self._publications, self._who = store, publications, who
        self._clock, self._sleep = clock, sleep
        self._claims = Claims(store, hooks, clock, sleep)
        self.settling = Settling(store, self._claims, who, clock)

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
            self._store.keep(connection, service)
            devices.find(connection, device, changing=True)
            package = catalogue.newest(connection, service)
            config = configuration.change({}, words, package.manifest["configuration"])
            if old := _open(connection, device, service):
                raise ConflictError(_in_the_way(old))
            connection.execute(
                table.insert().values(
                    id=order, device=device, service=service, state="ordered", config=config, starts=starts,
                    until=until, created=now, claim=claim, claim_until=now + self._claims.longest(service),
                    hooked=self._claims.hooked(service),
                )
            )  # fmt: skip
            audit.record(connection, self._who, "order", device, service, order=order, config=config, until=until)
        with self._claims.undone_if_late(order):
            try:
                spent = self._claims.call("provision", order, device, service, config, until)
            except HookError as error:
                self.settling.leave(order, claim, error)
                raise HookError(f"{error}; {device} does not get {service}, nothing was sold") from None
            with self._store.write() as connection:
                devices.find(connection, device, changing=True)
                self._claims.release(connection, order, claim, state="active")
                serial = self._publications.make(connection, device, self._clock())
                audit.record(connection, self._who, "subscribe", device, service, order=order, serial=serial)
        return Change(order, serial, until, spent)

    def configure(self, device: str, service: str, words: list[str]) -> Change:
        """Change the configuration of what `device` has: the core first; `HookError` leaves all as it was."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            self._store.keep(connection, service)
            devices.find(connection, device, changing=True)
            sold = _open(connection, device, service)
            if sold is None or sold.state != "active" or _over(sold, now):
                raise NotFoundError(_has_not(device, service))
            _unclaimed(sold, now)
            package = catalogue.newest(connection, service)
            config = configuration.change(sold.config, words, package.manifest["configuration"])
            self._claims.take(connection, sold, claim, next_config=config)
        with self._claims.undone_if_late(sold.id):
            try:
                spent = self._claims.call("provision", sold.id, device, service, config, sold.until, hooked=sold.hooked)
            except HookError as error:
                self.settling.restore(sold, claim, error)
                raise HookError(f"{error}; {service} of {device} stays as it was") from None
            with self._store.write() as connection:
                devices.find(connection, device, changing=True)
                self._claims.release(
                    connection, sold.id, claim, config=config, next_config=None, attempts=0, retry_at=0, trouble=None
                )
                serial = self._publications.make(connection, device, self._clock())
                audit.record(
                    connection, self._who, "configure", device, service, order=sold.id, serial=serial,
                    before=sold.config, after=config,
                )  # fmt: skip
        return Change(sold.id, serial, sold.until, spent)

    def unsubscribe(self, device: str, service: str) -> Change:
        """End what `device` has of `service`, whether the core lets go of it at once or not (`Change.trouble`)."""
        claim, now = secrets.token_hex(8), self._clock()
        with self._store.write() as connection:
            devices.find(connection, device, changing=True)
            sold = _open(connection, device, service)
            if sold is None:
                raise NotFoundError(_has_not(device, service))
            _unclaimed(sold, now)
            self._claims.take(connection, sold, claim, state="ending", next_config=None)
            serial = self._publications.make(connection, device, now)
            audit.record(connection, self._who, "unsubscribe", device, service, order=sold.id, serial=serial)
        try:
            spent = self.settling.withdraw(sold, claim, patiently=True)
        except HookError as error:
            return Change(sold.id, serial, sold.until, None, str(error))
        return Change(sold.id, serial, sold.until, spent)

    def _finish_old(self, device: str, service: str) -> None:
        """Withdraw what is left of an order before, so that its late withdrawal cannot hit the one to come."""
        patience = self._claims.longest(service)
        while patience > 0:
            self.settling.end_what_is_over()
            with self._store.read() as connection:
                old = _open(connection, device, service, changing=False)
            if old is None or old.state == "active":
                return
            if not is_free(old, self._clock()):
                self._sleep(_PAUSE)  # somebody is at it
                patience -= _PAUSE
            elif old.state == "ending":
                self.settling.settle(old.id)
                with self._store.read() as connection:
                    trouble = connection.execute(sa.select(table.c.trouble).where(table.c.id == old.id)).scalar()
                if trouble:
                    raise HookError(
                        f"{trouble}; the order before is not withdrawn yet, so nothing was sold; "
                        "mend the hook and try again"
                    )


def _open(connection: sa.Connection, device: str, service: str, changing: bool = True) -> sa.Row | None:
    query = sa.select(table).where(
        table.c.device == device, table.c.service == service, table.c.state.in_(storage.OPEN)
    )
    return connection.execute(query.with_for_update() if changing else query).first()


def _over(sold: sa.Row, now: float) -> bool:
    return sold.until is not None and sold.until <= now


def _unclaimed(sold: sa.Row, now: float) -> None:
    if not is_free(sold, now):
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
