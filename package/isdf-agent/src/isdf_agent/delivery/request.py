"""Signed requests to the manager, and what its answers mean.

Each request carries `Isdf-Time`, `Isdf-Nonce`, `Isdf-Signature` and, with a body, `Content-Digest` (see `isdf.wire`).
Redirects are refused: the address of the manager is in this router's configuration and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from isdf.errors import UnavailableError
from isdf.wire import content_digest, derive, sign_request

from .clock import BUILT
from .connection import Answer, Connection

AHEAD = 86400.0  # seconds
RETRY_AFTER_MAX = 3600.0  # seconds; whoever answers in the manager's place must not silence a router for good


class TooManyError(UnavailableError):
    """The manager asks to be left alone for `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedByManagerError(UnavailableError):
    """The manager says that the request itself is wrong; repeating it helps nothing."""


def send(
    connection: Connection, device_key: bytes, method: str, path: str, *,
    body: bytes = b"", headers: dict[str, str] | None = None, limit: int = 65536,
) -> Answer:  # fmt: skip
    """The answer to a signed request; `UnavailableError` as of `Connection.ask` and `accepted`."""
    digest = content_digest(body)
    headers = (headers or {}) | ({"Content-Digest": digest} if body else {})

    def attempt(now: int) -> Answer:
        nonce = os.urandom(16).hex()
        key = derive(device_key, "request")
        seal = sign_request(key, method, connection.prefix + path, digest, now, nonce)
        signed = {"Isdf-Time": str(now), "Isdf-Nonce": nonce, "Isdf-Signature": seal}
        return connection.ask(method, path, body=body, headers=signed | headers, limit=limit)

    answer = attempt(int(time.time()))
    if problem(answer).get("type") == "clock-skew":
        answer = attempt(_time_to_sign(answer, connection.proved))
    return accepted(answer, f"{method} {path}")


def _time_to_sign(answer: Answer, proved: bool) -> int:
    """The time of `answer`: a router has no battery, and need not believe a time to sign with it.

    Whoever may have forged it must not collect requests for later: unless the manager `proved` who he is, it is at
    most `AHEAD` after a clock that is set.
    """
    here, there = time.time(), time_of(answer)
    if not proved and here >= BUILT and there > here + AHEAD:
        raise UnavailableError(
            f"whoever answers says that it is {there}, and here it is {here:.0f} (Unix time): without https that is "
            f"not signed for; set this router's clock"
        )
    return there


def accepted(answer: Answer, what: str) -> Answer:
    """`answer` itself, if the manager did as it was asked; else `UnavailableError`, with the manager's own words."""
    status = answer.status
    if status in (429, 503):
        after = re.fullmatch("[0-9]{1,9}", answer.headers.get("retry-after", ""))
        seconds = min(float(after[0]), RETRY_AFTER_MAX) if after else 0.0
        raise TooManyError(f"the manager is busy (status {status})", seconds)
    if 300 <= status < 400 and status != 304:
        raise UnavailableError(f"the manager sends us elsewhere (status {status}), which is refused")
    if status >= 400:
        kind = RefusedByManagerError if status in (400, 413, 422) else UnavailableError
        detail = "".join(c for c in str(problem(answer).get("detail", ""))[:300] if c.isprintable())
        raise kind(f"the manager answers {what} with status {status}{detail and ': '}{detail}")
    return answer


def problem(answer: Answer) -> dict:
    """The problem document (RFC 9457) of an answer that has one."""
    try:
        found = json.loads(answer.body) if answer.status >= 400 else {}
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def time_of(answer: Answer) -> int:
    """Unix time of the manager's header `Date`; without one, that of this router."""
    date = date_of(answer)
    return int(time.time()) if date is None else date


def date_of(answer: Answer) -> int | None:
    """Unix time of the header `Date`, if there is one that can be."""
    try:
        return int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp())
    except (ValueError, OverflowError):
        return None


@contextlib.contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise `UnavailableError` in whatever runs when `seconds` are over, be it one byte a second. Main thread only."""

    def late(*_: object) -> None:
        raise UnavailableError(f"{what} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)  # again, where something caught it as one more error
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
