"""The access log: one JSON line for each request on standard output. The secret in a feed's path is never in it.

Of a flood only the beginning is written; `skipped` of a line are the requests before it that have none.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from typing import TextIO

from werkzeug import Request, Response

_SECRET = re.compile(r"(/+feed/+[^/]*/+)[^/]+", re.IGNORECASE)  # also where a wrong URL has a slash too many


def masked(path: str) -> str:
    """`path` without the secret of a feed."""
    return _SECRET.sub(r"\1***", path)


class AccessLog:
    """Writes whole lines, also from several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._skipped = 0

    def write(self, request: Request, response: Response, seconds: float, logged: bool = True) -> None:
        """A line; where it is not `logged`, the next one counts it."""
        if not logged:
            with self._lock:
                self._skipped += 1
            return
        line = {
            "time": round(time.time(), 3),
            "method": request.method,
            "path": masked(request.path),
            "status": response.status_code,
            "bytes": response.content_length or 0,
            "ms": round(seconds * 1000, 1),
            "address": request.remote_addr,
            "agent": request.headers.get("User-Agent", "")[:100],
        }
        with self._lock:
            if self._skipped:
                line["skipped"], self._skipped = self._skipped, 0
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
