"""Signed requests to the manager, for the short-lived children that may import `requests`.

Each request carries `Isdf-Time`, `Isdf-Nonce`, `Isdf-Signature` and, with a body, `Content-Digest` (see `isdf.wire`).
Redirects are refused: the address of the manager is in this router's configuration and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from isdf.errors import UnavailableError
from isdf.wire import content_digest, derive, sign_request

CONNECT, READ = 10.0, 10.0  # seconds without an answer; the deadline on the whole is `deadline`


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of the manager; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class TooManyError(UnavailableError):
    """The manager asks to be left alone for `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedByManagerError(UnavailableError):
    """The manager says that the request itself is wrong; repeating it helps nothing."""


def send(
    manager: str, device_key: bytes, method: str, path: str, *,
    body: bytes = b"", headers: dict[str, str] | None = None, limit: int = 65536,
) -> Answer:  # fmt: skip
    """Send a signed request; `UnavailableError` for no answer, one over `limit` bytes, or a status above 399."""
    import requests  # a tenth of a second; nothing that fails before should pay it
    import urllib3

    path = urlsplit(manager).path.rstrip("/") + path
    url = manager[: len(manager) - len(urlsplit(manager).path)] + path
    digest = content_digest(body)
    headers = (headers or {}) | ({"Content-Digest": digest} if body else {})

    def attempt(now: int) -> Answer:
        nonce = os.urandom(16).hex()
        seal = sign_request(derive(device_key, "request"), method, path, digest, now, nonce)
        signed = {"Isdf-Time": str(now), "Isdf-Nonce": nonce, "Isdf-Signature": seal, "Accept-Encoding": "identity"}
        try:
            with session.request(
                method, url, data=body or None, headers=signed | headers,
                timeout=(CONNECT, READ), allow_redirects=False, stream=True,
            ) as reply:  # fmt: skip
                received = _read(reply, limit)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise UnavailableError(f"the manager {manager} does not answer: {_reason(error)}") from None
        return Answer(reply.status_code, {k.lower(): v for k, v in reply.headers.items()}, received)

    with requests.Session() as session:
        session.trust_env = False  # neither proxies nor passwords of the environment
        answer = attempt(int(time.time()))
        if _problem(answer).get("type") == "clock-skew":
            answer = attempt(_time_of(answer))  # a router has no battery; it need not believe this time to sign with it
    status = answer.status
    if status in (429, 503):
        after = answer.headers.get("retry-after", "")
        raise TooManyError(f"the manager {manager} is busy (status {status})", float(after) if after.isdigit() else 0.0)
    if 300 <= status < 400 and status != 304:
        raise UnavailableError(f"the manager {manager} sends us elsewhere (status {status}), which is refused")
    if status >= 400:
        kind = RefusedByManagerError if status in (400, 413, 422) else UnavailableError
        detail = "".join(c for c in str(_problem(answer).get("detail", ""))[:300] if c.isprintable())
        raise kind(f"the manager {manager} answers {method} {path} with status {status}{detail and ': '}{detail}")
    return answer


def _problem(answer: Answer) -> dict:
    """The problem document (RFC 9457) of an answer that has one."""
    try:
        problem = json.loads(answer.body) if answer.status >= 400 else {}
    except ValueError:
        problem = {}
    return problem if isinstance(problem, dict) else {}


def _time_of(answer: Answer) -> int:
    """Unix time of the manager's header `Date`; without one, that of this router."""
    try:
        return int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp())
    except ValueError:
        return int(time.time())


def _read(reply, limit: int) -> bytes:
    pieces, size = [], 0
    for piece in reply.raw.stream(16384, decode_content=False):  # never unpacked: a bomb stays as small as it came
        size += len(piece)
        if size > limit:
            raise UnavailableError(f"the manager's answer is longer than {limit} bytes")
        pieces.append(piece)
    length = reply.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise UnavailableError(f"the manager's answer ended after {size} of {length} bytes")
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    """The innermost reason, without the addresses that `requests` puts around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


@contextlib.contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise `UnavailableError` in whatever runs when `seconds` are over, be it one byte a second. Main thread only."""

    def late(*_: object) -> None:
        raise UnavailableError(f"{what} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
