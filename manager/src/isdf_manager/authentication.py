"""Who asks: requests signed by the device key, the secret in a feed's path, and the address of the caller.

A device that is not known and a signature that does not fit get the same answer after the same work, so that nobody
learns names by asking. Only after the signature is good does the time matter: a router without a clock is told the
manager's (`ClockError`) and may sign again.

A request is taken once: its signature is remembered for as long as its time is good. The process before may have taken
what was signed up to `AHEAD` after this one began, so this one takes only what has a later time; `pause` says for how
long a server waits before it asks clients in.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa
from werkzeug import Request

from isdf import wire
from isdf.errors import RefusedError

from . import limits, storage
from .problems import BusyError
from .publications import Served

WINDOW = 300  # seconds that a request may be old
AHEAD = 0.25  # and that its time may be ahead; who is further ahead is told the time and signs again
_NOBODY = secrets.token_bytes(32)
_MOST = 1_000_000  # requests that are remembered; 556 a second make 170,000
_MOST_KNOWN = 200_000
_SECRETS = sa.select(storage.publication.c.feed).where(storage.publication.c.device == sa.bindparam("name")).distinct()
_DEVICE = (
    sa.select(
        storage.device.c.device_key, storage.device.c.serial, storage.device.c.renew_at, storage.device.c.signer,
        storage.publication.c.etag, storage.publication.c.assignment, storage.publication.c.feed,
    )
    .outerjoin_from(
        storage.device,
        storage.publication,
        sa.and_(
            storage.publication.c.device == storage.device.c.name,
            storage.publication.c.serial == storage.device.c.serial,
        ),
    )
    .where(storage.device.c.name == sa.bindparam("name"))
)  # fmt: skip


class UnauthorizedError(RefusedError):
    """The request is not signed by the device that it names."""

    slug, title = "unauthorized", "The request is not signed by this device"


class ClockError(RefusedError):
    """The request is genuine, but its time is not now."""

    slug, title = "clock-skew", "The time of the request is not the manager's"


class Device(NamedTuple):
    """What the database has of a device that asks; `etag`, `assignment` and `feed` are of the publication `serial`."""

    device_key: str | None
    serial: int
    renew_at: float
    signer: str
    etag: str | None
    assignment: bytes | None
    feed: str | None

    @property
    def served(self) -> Served | None:
        """Its newest publication, where it has one."""
        return None if self.etag is None else Served(self.serial, self.etag, self.assignment, self.feed)


class Taken:
    """The requests that were taken, by their signatures, in a set for each minute of their times."""

    def __init__(self) -> None:
        self._minutes: dict[int, set[bytes]] = {}
        self._lock = threading.Lock()

    def take(self, stamp: int, signature: str, now: float) -> bool:
        """False when it was taken before. `BusyError` rather than to forget one whose time is still good."""
        with self._lock:
            for minute in [m for m in self._minutes if (m + 1) * 60 < now - WINDOW]:
                del self._minutes[minute]
            if sum(map(len, self._minutes.values())) >= _MOST:
                raise BusyError("the manager has taken too many requests in the last minutes; try again later")
            seals, seal = self._minutes.setdefault(stamp // 60, set()), bytes.fromhex(signature)[:16]
            if seal in seals:
                return False
            seals.add(seal)
            return True


class Known:
    """What was good last (a key, a feed's secret), of the devices that asked last: enough to tell what is genuine."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, device: str) -> bytes | None:
        return self._keys.get(device)

    def put(self, device: str, key: bytes) -> None:
        with self._lock:
            self._keys[device] = key
            self._keys.move_to_end(device)
            if len(self._keys) > _MOST_KNOWN:
                self._keys.popitem(last=False)


class Authentication:
    """Checks requests against the keys in the database; shared by the threads of a server."""

    def __init__(
        self, store: storage.Storage, limited: limits.Limits, proxies: tuple = (),
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._limits, self._proxies, self._clock = limited, proxies, clock
        self._device = store.prepare(_DEVICE)
        self._taken, self._known, self._feeds = Taken(), Known(), Known()
        self._begun = time.monotonic()

    def signed(self, request: Request, device: str) -> Device:
        """`device`, which signed `request`, now, and for the first time; the body is not read for it.

        Raises `UnauthorizedError`, `ClockError` or `TooManyError`.
        """
        path = request.path + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
        stamp, nonce, signature = (request.headers.get(f"Isdf-{h}", "") for h in ("Time", "Nonce", "Signature"))
        digest = request.headers.get("Content-Digest", "")

        def is_genuine(key: bytes) -> bool:
            return wire.verify_request(key, request.method, path, digest, stamp, nonce, signature)

        if wait := self._limits.refused.wait(limits.prefix(request.remote_addr)):
            known = self._known.get(device)
            if known is None or not is_genuine(known):
                raise limits.TooManyError(wait)
        row = self._device(name=device)
        found = Device(*row) if row else None
        key = wire.derive(bytes.fromhex(found.device_key) if found and found.device_key else _NOBODY, "request")
        well_formed = stamp.isdecimal() and len(stamp) <= 12 and 8 <= len(nonce) <= 128
        if not (is_genuine(key) and found and found.device_key and well_formed):
            raise UnauthorizedError("sign the request with the key of a device that this manager knows")
        self._known.put(device, key)
        limits.take(self._limits.requests, device)
        now = self._clock()
        if not max(int(now - WINDOW), self._first(now)) <= int(stamp) <= now + AHEAD:
            raise ClockError(f"the request says {stamp}, here it is {int(now)}; sign it again with this time")
        if not self._taken.take(int(stamp), signature, now):
            raise UnauthorizedError("sign the request with the key of a device that this manager knows")
        return found

    def pause(self) -> float:
        """Seconds until a request that is signed then is taken: at most 1 + `AHEAD` from the beginning, later 0.0."""
        now = self._clock()
        return max(0.0, self._first(now) - now)

    def _first(self, now: float) -> int:
        """The first time (whole seconds) that no process before this one has taken.

        How long this one runs is not told by the clock on the wall, which may be set meanwhile.
        """
        return math.floor(now - (time.monotonic() - self._begun) + AHEAD) + 1

    def learn(self, device: str, device_key: bytes) -> None:
        """`device` has just enrolled with this key."""
        self._known.put(device, wire.derive(device_key, "request"))

    def learn_feed(self, device: str, secret: str) -> None:
        """`device` has just been told where its files are."""
        self._feeds.put(device, secret.encode())

    def knows_feed(self, device: str, secret: str) -> bool:
        """Whether `device` was told of this secret last; then who shows it is no stranger."""
        told = self._feeds.get(device)
        return told is not None and hmac.compare_digest(told, secret.encode())

    @staticmethod
    def body(request: Request, data: bytes) -> bytes:
        """`data`, where it is the body that was signed of a request that is `signed`; else `UnauthorizedError`."""
        if wire.content_digest(data) != request.headers.get("Content-Digest", ""):
            raise UnauthorizedError("the body is not the one that was signed")
        return data

    def address(self, environ: dict) -> str:
        """The caller's address: X-Forwarded-For counts only as far as the proxies of the configuration wrote it."""
        address = plain_address(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        for hop in reversed([h.strip() for h in forwarded.split(",") if h.strip()]):
            if not self._is_proxy(address):
                break
            address = plain_address(hop)
        return address

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies if network.version == parsed.version)


def feed_is_open(connection: sa.Connection, device: str, secret: str) -> bool:
    """Whether `secret` is that of a publication of `device`; takes the same time for a device that is not there."""
    found = connection.execute(_SECRETS, {"name": device}).scalars().all()
    return any(hmac.compare_digest(one.encode(), secret.encode()) for one in found or ["-" * 32]) and bool(found)


@lru_cache(10_000)
def plain_address(text: str) -> str:
    """An address without IPv4's form inside IPv6, which a socket for both families reports; "" for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
