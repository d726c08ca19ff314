"""Publications: the signed assignment and package index of each device, at addresses that never change.

A device's newest publication is what it gets; the few before it stay for pulls that are under way, and the secrets in
their paths open the feed. One is made when orders change, and anew when it is out of date: at half the life of its
assignment, when a service's time is over, when a service has a new version (`device.renew_at`), or when the assignment
key was replaced.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from isdf.formats import assignment, opkg_index, usign

from . import catalogue, configuration, signing, storage
from .clock import END, parse_length

LIFE = 7 * 86400  # seconds until an assignment expires
FEED_LIFE = 86400  # seconds after which a publication gets a new secret in the path of its feed
KEPT = 5
_SLACK = 3600  # seconds that the clock may be set back before all is published anew
# Nobody but its own router can lift the serial of a device, and not so far that the next ones are no time any more.
MAX_REPORTED = (END - 366 * 86400) * 1000

# Each pull executes these; making them once halves what they cost.
_DUE = sa.select(storage.device.c.serial, storage.device.c.renew_at, storage.device.c.signer).where(
    storage.device.c.name == sa.bindparam("name")
)
_NEWEST = (
    sa.select(
        storage.publication.c.serial,
        storage.publication.c.etag,
        storage.publication.c.assignment,
        storage.publication.c.feed,
    )
    .where(storage.publication.c.device == sa.bindparam("name"))
    .order_by(storage.publication.c.serial.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Served:
    """The newest publication of a device as its assignment is served; `etag` is the SHA-256 of the payload.

    `feed` is the secret in the path of its files.
    """

    serial: int
    etag: str
    assignment: bytes
    feed: str


class Publications:
    """Makes and finds publications; `key` gives the assignment key that is in force."""

    def __init__(self, key: Callable[[], usign.SecretKey]) -> None:
        self._key = key

    def make(self, connection: sa.Connection, device: str, now: float) -> int:
        """Publish what `device` shall run as of `now` (Unix seconds), in the caller's transaction; its serial."""
        key = self._key()
        mine = sa.select(storage.device).where(storage.device.c.name == device)
        row = connection.execute(mine.with_for_update()).one()
        serial = max(row.serial + 1, int(now * 1000), _reported(connection, device) + 1)
        sequence = max(row.push_sequence + 1, int(now * 1000))  # of the push that announces it
        feed, feed_since = row.feed, row.feed_since
        if not feed or not 0 <= now - feed_since < FEED_LIFE:
            feed, feed_since = secrets.token_hex(16), now
        packages, services = [], []
        for sold in wanted(connection, device, now):
            package = catalogue.newest(connection, sold.service)
            catalogue.content(connection, package.id)  # what is damaged is not published
            packages.append(package)
            services.append(_entry(sold, package))
        index = opkg_index.dump([p.index_entry for p in packages])
        index_hash = hashlib.sha256(index).hexdigest()
        issued = int(now)
        payload = assignment.dump(
            assignment.Assignment(
                device=device, serial=serial, issued=issued, expires=issued + LIFE, push_floor=sequence,
                index_sha256=index_hash, index_size=len(index), feed=feed, services=tuple(services),
            )
        )  # fmt: skip
        connection.execute(
            storage.publication.insert().values(
                device=device, serial=serial, issued=issued, feed=feed, etag=hashlib.sha256(payload).hexdigest(),
                assignment=usign.embed(payload, _sign(payload, key)), index_sha256=index_hash, packages=index,
                signature=_sign(index, key), files={p.filename: p.id for p in packages},
            )
        )  # fmt: skip
        ends = [s.until for s in services if s.until is not None]
        connection.execute(
            storage.device.update()
            .where(storage.device.c.name == device)
            .values(
                serial=serial,
                push_sequence=sequence,
                signer=key.fingerprint.hex(),
                renew_at=min([issued + LIFE // 2, *ends]),
                feed=feed,
                feed_since=feed_since,
            )
        )
        self._forget(connection, device)
        return serial

    def renewed(self, connection: sa.Connection, device: str, now: float) -> int:
        """The serial of a publication that is not out of date; made, in the caller's transaction, where it must be."""
        row = connection.execute(_DUE, {"name": device}).one()
        return self.make(connection, device, now) if self.is_due(row.renew_at, row.signer, now) else row.serial

    def is_due(self, renew_at: float, signer: str, now: float) -> bool:
        """Whether a publication is out of date that is good until `renew_at` and signed by the key `signer`."""
        set_back = renew_at > now + LIFE // 2 + _SLACK  # it is from a future that was none
        return now >= renew_at or set_back or signer != self._key().fingerprint.hex()

    @staticmethod
    def _forget(connection: sa.Connection, device: str) -> None:
        table = storage.publication
        mine = table.c.device == device
        kept = sa.select(table.c.serial).where(mine).order_by(table.c.serial.desc()).limit(KEPT)
        connection.execute(table.delete().where(mine, table.c.serial.not_in(kept.scalar_subquery())))


def wanted(connection: sa.Connection, device: str, now: float) -> list[sa.Row]:
    """The orders that `device` shall run at `now`, the oldest first: theirs is the position in the assignment."""
    table = storage.order
    query = (
        sa.select(table)
        .where(table.c.device == device, table.c.state == "active")
        .where(sa.or_(table.c.until.is_(None), table.c.until > now))
        .order_by(table.c.created, table.c.id)
    )
    return list(connection.execute(query))


def newest(connection: sa.Connection, device: str) -> Served:
    """The newest publication of `device`, which must have one."""
    return Served(*connection.execute(_NEWEST, {"name": device}).one())


def _reported(connection: sa.Connection, device: str) -> int:
    """The serial that the router says it has, which is above ours where this database is an older copy."""
    report = connection.execute(sa.select(storage.contact.c.report).where(storage.contact.c.device == device)).scalar()
    return min(report["serial"], MAX_REPORTED) if report else 0


def _sign(message: bytes, key: usign.SecretKey) -> str:
    return usign.sign(message, key, signing.ed25519_sign).dump()


def _entry(sold: sa.Row, package: sa.Row) -> assignment.Entry:
    grace = package.manifest.get("offline_grace")
    return assignment.Entry(
        name=sold.service, package=package.package, version=package.version, filename=package.filename,
        size=package.size, sha256=package.sha256, signature=package.signature, since=sold.starts,
        until=sold.until, order=sold.id,
        config=configuration.filled(sold.config, package.manifest["configuration"]),
        offline_grace=parse_length(grace) if grace else assignment.OFFLINE_GRACE,
    )  # fmt: skip
