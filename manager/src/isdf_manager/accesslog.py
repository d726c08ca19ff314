"""The access log: one JSON line for each request on standard output. The secret in a feed's path is never in it.

Of a flood only the beginning is written; `skipped` of a line are the requests before it that have none.
"""

from __future__ import annotations

import json
import re
import select
import threading
import time
from typing import BinaryIO

from werkzeug import Request, Response

_SECRET = re.compile(r"(/+feed/+[^/]*/+)[^/]+", re.IGNORECASE)  # also where a wrong URL has a slash too many
_MAX_PATH = 500  # characters, for the search for a secret among slashes takes the square of them


def masked(path: str) -> str:
    """`path` without the secret of a feed."""
    return _SECRET.sub(r"\1***", path)


class AccessLog:
    """Writes whole lines, also from several threads, to `file` (unbuffered; standard output).

    Requests do not depend on it: a line that cannot be written, or not at once, is left out and counted as skipped.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file or open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
        self._lock = threading.Lock()
        self._skipped = 0
        self._torn = False  # the line before has no end

    def write(self, request: Request, response: Response, seconds: float, logged: bool = True) -> None:
        """A line; where it is not `logged`, the next one counts it."""
        line = {
            "time": round(time.time(), 3),
            "method": request.method,
            "path": masked(request.path[:_MAX_PATH]),
            "status": response.status_code,
            "bytes": response.content_length or 0,
            "ms": round(seconds * 1000, 1),
            "address": request.remote_addr,
            "agent": request.headers.get("User-Agent", "")[:100],
        }
        with self._lock:
            if logged and self._put(line | ({"skipped": self._skipped} if self._skipped else {})):
                self._skipped = 0
            else:
                self._skipped += 1

    def _put(self, line: dict) -> bool:
        """Whether the line was written; False where the disk is full, the reader is gone or has too much to read."""
        data = b"\n" * self._torn + json.dumps(line).encode() + b"\n"
        try:
            if not _is_writable(self._file):
                return False
            written = self._file.write(data) or 0
        except OSError:
            return False
        self._torn = self._torn if written == 0 else written < len(data)
        return written == len(data)


def _is_writable(file: BinaryIO) -> bool:
    """Whether a line (below 4096 bytes, PIPE_BUF) can be written without waiting for who reads."""
    try:
        number = file.fileno()
    except OSError:
        return True  # it is in memory
    look = select.poll()
    look.register(number, select.POLLOUT)
    return bool(look.poll(0))
