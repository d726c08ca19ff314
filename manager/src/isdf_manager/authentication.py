"""Who asks: requests signed by the device key, the secret in a feed's path, and the address of the caller.

A device that is not known and a signature that does not fit get the same answer after the same work, so that nobody
learns names by asking. Only after the signature is good does the time matter: a router without a clock is told the
manager's (`ClockError`) and may sign again.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import sqlalchemy as sa
from werkzeug import Request

from isdf import wire
from isdf.errors import RefusedError

from . import storage

WINDOW = 300  # seconds that a request's time may be off
_NOBODY = secrets.token_bytes(32)
_MAX_NONCES = 200_000
# Made once: putting a statement together costs as much as executing it.
_KEY = sa.select(storage.device.c.device_key).where(storage.device.c.name == sa.bindparam("name"))
_SECRETS = sa.select(storage.publication.c.feed).where(storage.publication.c.device == sa.bindparam("name")).distinct()


class UnauthorizedError(RefusedError):
    """The request is not signed by the device that it names."""

    slug, title = "unauthorized", "The request is not signed by this device"


class ClockError(RefusedError):
    """The request is genuine, but its time is not now."""

    slug, title = "clock-skew", "The time of the request is not the manager's"


class Nonces:
    """The nonces of genuine requests that could be sent again: each is taken once within the window."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, device: str, nonce: str, now: float) -> bool:
        """False when it was taken before."""
        with self._lock:
            while self._seen and (next(iter(self._seen.values())) < now or len(self._seen) >= _MAX_NONCES):
                self._seen.popitem(last=False)
            if (device, nonce) in self._seen:
                return False
            self._seen[device, nonce] = now + 2 * WINDOW
            return True


class Authentication:
    """Checks requests against the keys in the database; shared by the threads of a server."""

    def __init__(self, store: storage.Storage, proxies: tuple = (), clock: Callable[[], float] = time.time) -> None:
        self._store, self._proxies, self._clock = store, proxies, clock
        self._nonces = Nonces()

    def signed(self, request: Request, device: str) -> None:
        """Raise `UnauthorizedError` or `ClockError` unless `device` signed `request`, now, and for the first time.

        The body is not read for it.
        """
        with self._store.read() as connection:
            found = connection.execute(_KEY, {"name": device}).scalar()
        key = wire.derive(bytes.fromhex(found) if found else _NOBODY, "request")
        path = request.path + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
        stamp, nonce, signature = (request.headers.get(f"Isdf-{h}", "") for h in ("Time", "Nonce", "Signature"))
        digest = request.headers.get("Content-Digest", "")
        genuine = wire.verify_request(key, request.method, path, digest, stamp, nonce, signature)
        if not (genuine and found and stamp.isdecimal() and 8 <= len(nonce) <= 128):
            raise UnauthorizedError("sign the request with the key of a device that this manager knows")
        now = self._clock()
        if abs(int(stamp) - now) > WINDOW:
            raise ClockError(f"the request says {stamp}, here it is {int(now)}; sign it again with this time")
        if not self._nonces.take(device, nonce, now):
            raise UnauthorizedError("sign the request with the key of a device that this manager knows")

    @staticmethod
    def body(request: Request) -> bytes:
        """The body of a request that is `signed`: the one that was signed, else `UnauthorizedError`."""
        data = request.get_data()
        if wire.content_digest(data) != request.headers.get("Content-Digest", ""):
            raise UnauthorizedError("the body is not the one that was signed")
        return data

    def address(self, request: Request) -> str:
        """The caller's address: X-Forwarded-For counts only as far as the proxies of the configuration wrote it."""
        address = plain_address(request.environ.get("REMOTE_ADDR", ""))
        forwarded = request.headers.get("X-Forwarded-For", "")
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


def plain_address(text: str) -> str:
    """An address without IPv4's form inside IPv6, which a socket for both families reports; "" for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
