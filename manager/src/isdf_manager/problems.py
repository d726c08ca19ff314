"""Errors over HTTP: problem documents (RFC 9457) whose `type` is the slug of the error's class in `isdf.errors`.

The slug is a relative reference, so that `isdf.errors.from_dict` makes the same error of a problem on the other side.
"""

from __future__ import annotations

import json
import math

from werkzeug import Response
from werkzeug.exceptions import HTTPException

from isdf import errors

_STATUS = {
    "unauthorized": 401, "clock-skew": 401, "not-permitted": 403, "unknown-claim": 403,
    "not-found": 404, "conflict": 409, "claimed": 409, "timeout": 408, "too-large": 413,
    "limit-reached": 429, "unavailable": 503,
}  # fmt: skip
_SLUG = {400: "invalid-argument", 404: "not-found", 405: "method-not-allowed"}  # of what Werkzeug raises


class BusyError(errors.RefusedError):
    """The caller shall come again after `retry_after` seconds."""

    slug, title = "unavailable", "The manager has too much to do"
    retry_after = 5.0


class TooLargeError(errors.RefusedError):
    """What the caller sends is longer than it may be."""

    slug, title = "too-large", "The request is too long"

    @classmethod
    def of(cls, most: int) -> TooLargeError:
        return cls(f"the body is longer than {most} bytes")


class SlowError(errors.RefusedError):
    """What the caller sends does not come in time."""

    slug, title = "timeout", "The request did not come in time"


def of_error(error: errors.IsdfError) -> Response:
    """The problem of an error of ours: the caller's turn is 4xx, ours 5xx."""
    status = _STATUS.get(error.slug, 400 if isinstance(error, errors.RefusedError) else 500)
    return problem(status, error.slug, error.title, error.detail, getattr(error, "retry_after", None))


def of_http(error: HTTPException) -> Response:
    """The problem of an error of Werkzeug's (no such route, wrong method, a request that is none)."""
    response = problem(error.code, _SLUG[error.code], error.name, error.description)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def problem(status: int, slug: str, title: str, detail: str, retry_after: float | None = None) -> Response:
    """The answer; `retry_after` are the seconds that the caller shall stay away."""
    body = {"type": slug, "title": title, "status": status, "detail": detail}
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after))
    return response
