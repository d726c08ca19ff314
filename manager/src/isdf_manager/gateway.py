"""From Granian to WSGI: connections, TLS and HTTP are in Rust; a thread has a request only while the application runs.

RSGI is Granian's own interface (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md); with it,
unlike with its WSGI, a server is in this process and a body that does not come is waited for with a deadline.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import problems

log = logging.getLogger(__name__)
BODY_SECONDS = 5.0  # for the whole of a body
_WAITING = 500  # requests that may wait for a thread: more are told to come again, for their turn would be too late
_BUSY = problems.problem(503, "unavailable", "The manager has too much to do", "try again later", 5).get_wsgi_response(
    {"REQUEST_METHOD": "GET"}
)


class Gateway:
    """An RSGI application that runs the WSGI `application` in `threads` threads."""

    def __init__(self, application: Callable, threads: int) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(threads, "request")
        # Half of the threads at most wait for bodies; the other half goes on whatever clients do.
        self._bodies = threading.BoundedSemaphore(max(1, threads // 2))
        self._inside = 0

    async def __rsgi__(self, scope, protocol) -> None:
        if self._inside >= _WAITING:
            body, status, headers = _BUSY
            protocol.response_bytes(int(status[:3]), list(headers), b"".join(body))
            return
        self._inside += 1
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._pool, self._answer, scope, _Body(protocol, loop, self._bodies))
        finally:
            self._inside -= 1
        protocol.response_bytes(*answer)

    def close(self) -> None:
        """End after the requests that are at work."""
        self._pool.shutdown(cancel_futures=True)

    def _answer(self, scope, body: _Body) -> tuple[int, list[tuple[str, str]], bytes]:
        begun: list = []
        try:
            pieces = self._application(_environ(scope, body), lambda *answer: begun.append(answer))
            try:
                content = b"".join(pieces)
            finally:
                getattr(pieces, "close", int)()
            status, headers = begun[-1][:2]
            return int(status[:3]), headers, content
        finally:
            body.close()


class _Body(io.RawIOBase):
    """`wsgi.input`: what the client sends, as far as it comes in time."""

    def __init__(self, protocol, loop: asyncio.AbstractEventLoop, turns: threading.BoundedSemaphore) -> None:
        self._protocol, self._loop, self._turns = protocol, loop, turns
        self._chunks = None
        self._rest = b""
        self._until = 0.0  # of the loop's clock

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        if self._chunks is None:
            if not self._turns.acquire(blocking=False):
                raise problems.BusyError("the manager reads too many requests at this moment; try again")
            self._chunks = aiter(self._protocol)
            self._until = self._loop.time() + BODY_SECONDS
        if not self._rest:
            self._rest = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        size = min(len(target), len(self._rest))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._until):
                return bytes(await anext(self._chunks))
        except StopAsyncIteration:
            return b""
        except TimeoutError:
            raise problems.SlowError(f"the body did not come within {BODY_SECONDS:g} s") from None

    def close(self) -> None:
        if self._chunks is not None and not self.closed:
            self._turns.release()
        super().close()


def _environ(scope, body: _Body) -> dict:
    """PEP 3333, as far as this application and Werkzeug look at it."""
    address, _, _ = scope.client.rpartition(":")
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "isdf-manager",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": address.strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,  # its end is that of the body, also without a Content-Length
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # would pass for the header with a hyphen, that a proxy wrote
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
