"""Enrolment: a claim code binds a router's key, made there, to the device that the operator entered.

The code's token is known here by its SHA-256 alone. It binds to the first key that shows it; that one may show it
again, for its answer may have been lost. `renew` makes the next code of a device (a swapped box): what the router
before has goes on working until the new code is bound.

Before a router shows its token it asks for a seal (`isdf.formats.claim.seal`) over the keys statement that it has.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets

import sqlalchemy as sa

from isdf.errors import ConflictError, FormatError, NotPermittedError
from isdf.formats import claim
from isdf.formats.usign import PublicKey

from . import audit, storage

MAX_SIZE = 1024  # bytes of a request
_TOKEN, _KEY = re.compile(r"[0-9a-f]{20}\Z"), re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[0-9a-f]{16}\Z")
_NONCE = re.compile(r"[0-9a-f]{32}\Z")
_BY_NAME = sa.select(storage.device.c.claim).where(
    storage.device.c.claim.between(sa.bindparam("first"), sa.bindparam("last"))
)
_BY_CLAIM = sa.select(storage.device).where(storage.device.c.claim == sa.bindparam("digest"))


_UNKNOWN = "no device has this claim code; look for a newer one, or ask the operator: isdf-manager device replace NAME"


class UnknownClaimError(NotPermittedError):
    """No device has this claim code, or it has a newer one."""

    slug, title = "unknown-claim", "The claim code is not known"


class ClaimedError(ConflictError):
    """The code is bound to another key."""

    slug, title = "claimed", "The claim code was used before"


def renew(connection: sa.Connection, device: str, catalogue_key: PublicKey) -> str:
    """A new claim code for `device`, in the caller's transaction; the one before is void."""
    token = secrets.token_bytes(claim.TOKEN_SIZE)
    values = {"claim": _digest(token), "claimed_at": None}
    connection.execute(storage.device.update().where(storage.device.c.name == device).values(values))
    return claim.make(token, catalogue_key)


def parse(data: bytes) -> tuple[bytes, bytes]:
    """Token and key of the body of `POST /enroll`; `FormatError`."""
    try:
        told = json.loads(data)
        token, key = told["token"], told["key"]
        if _TOKEN.match(token) and _KEY.match(key):
            return bytes.fromhex(token), bytes.fromhex(key)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise FormatError('the enrolment is not {"token": 20 hex digits, "key": 64 hex digits}')


def parse_question(data: bytes) -> tuple[str, bytes]:
    """A code's name and the nonce of the body of `POST /enroll/seal`; `FormatError`."""
    try:
        told = json.loads(data)
        name, nonce = told["claim"], told["nonce"]
        if _NAME.match(name) and _NONCE.match(nonce):
            return name, bytes.fromhex(nonce)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise FormatError('the question is not {"claim": 16 hex digits, "nonce": 32 hex digits}')


def seal(connection: sa.Connection, name: str, nonce: bytes, statement: bytes) -> str:
    """What shows a router with the code of that name that `statement` is the newest; `UnknownClaimError`."""
    found = connection.execute(_BY_NAME, {"first": name, "last": name + "g"}).scalars().first()
    if found is None:
        raise UnknownClaimError(_UNKNOWN)
    return claim.seal(bytes.fromhex(found), nonce, statement)


def check(connection: sa.Connection, token: bytes, key: bytes) -> sa.Row:
    """The row of the device whose code has `token`, which may be bound to `key` or is; changes nothing.

    `UnknownClaimError`, `ClaimedError`.
    """
    row = connection.execute(_BY_CLAIM, {"digest": _digest(token)}).first()
    if row is None:
        raise UnknownClaimError(_UNKNOWN)
    if row.claimed_at is not None and not secrets.compare_digest(row.device_key, key.hex()):
        raise ClaimedError(
            "this claim code was used by another router; if that was not yours, tell the operator at once, who makes "
            "another: isdf-manager device replace NAME"
        )
    return row


def enroll(connection: sa.Connection, token: bytes, key: bytes, now: float, address: str = "") -> sa.Row:
    """Bind `key` to the device whose code has `token`, in the caller's transaction; the device's row.

    `UnknownClaimError` for a token that nobody has, `ClaimedError` where another key was bound.
    """
    row = check(connection, token, key)
    if row.claimed_at is not None:
        return row
    table = storage.device
    # What the router before knew opens nothing any more: no publication, no secret of the feed.
    values = {"device_key": key.hex(), "claimed_at": now, "renew_at": 0, "feed_since": 0}
    mine = sa.and_(table.c.name == row.name, table.c.claim == row.claim, table.c.claimed_at.is_(None))
    if connection.execute(table.update().where(mine).values(values)).rowcount != 1:
        return enroll(connection, token, key, now, address)  # another one was quicker
    connection.execute(storage.publication.delete().where(storage.publication.c.device == row.name))
    connection.execute(
        storage.contact.update()
        .where(storage.contact.c.device == row.name)
        .values(address=None, pulled=0, pulled_at=0, report=None, reported_at=0)
    )
    fingerprint = hashlib.sha256(key).hexdigest()[:16]
    replaced = row.device_key is not None
    audit.record(connection, "serve", "enroll", row.name, address=address, key=fingerprint, replaced=replaced)
    return connection.execute(sa.select(table).where(table.c.name == row.name)).one()


def answer(row: sa.Row) -> dict:
    """What a router is told that enrolled: its name, and its line in kbit/s where the manager knows it."""
    return {"device": row.name, "line": row.line}


def _digest(token: bytes) -> str:
    return claim.secret(token).hex()
