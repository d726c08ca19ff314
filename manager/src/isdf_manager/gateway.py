"""From Granian to the application: connections, TLS and HTTP are in Rust, and no thread waits for a client.

What `dispatch` answers at once is answered in the event loop; for the rest the body is awaited there, with a deadline,
and a thread has it only then. Who dawdles with a body keeps nobody from the threads; and strangers have a part of the
places in their queue, so that those who are known have the others. RSGI is Granian's own interface
(https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from werkzeug import Response

from isdf.errors import RefusedError

from .dispatch import Dispatch, Work
from .problems import BusyError, SlowError, TooLargeError

BODY_SECONDS = 5.0  # for the whole of a body
_WAITING = 500  # answers that may wait for a thread; the turn of more would come too late
_STRANGERS = 100  # of them, of those who have shown nothing that only a device knows


class Gateway:
    """An RSGI application; `threads` do what `application` has to wait for.

    `inline`: what `begin` asks of the database takes microseconds; otherwise a thread does that, too.
    """

    def __init__(self, application: Dispatch, threads: int, inline: bool = True) -> None:
        self._application, self._inline = application, inline
        self._pool = ThreadPoolExecutor(threads, "request")
        self._waiting = self._strangers = 0

    async def __rsgi__(self, scope, protocol) -> None:
        environ = _environ(scope)
        begin = self._application.begin
        answer = begin(environ) if self._inline else await self._in_thread(begin, environ)
        if isinstance(answer, Work):
            answer = await self._rest(answer, protocol)
        pieces, status, headers = answer.get_wsgi_response(environ)
        protocol.response_bytes(int(status[:3]), list(headers), b"".join(pieces))

    def close(self) -> None:
        """End after what is at work."""
        self._pool.shutdown(cancel_futures=True)

    async def _rest(self, work: Work, protocol) -> Response:
        body = await _read(protocol, work.most) if work.most else b""
        stranger = not work.known
        if self._waiting >= _WAITING or (stranger and self._strangers >= _STRANGERS):
            body = BusyError("too many requests are waiting at this moment; try again later")
        if isinstance(body, RefusedError):
            return work.run(body)
        self._waiting += 1
        self._strangers += stranger
        try:
            return await self._in_thread(work.run, body)
        finally:
            self._waiting -= 1
            self._strangers -= stranger

    def _in_thread(self, function, *arguments) -> asyncio.Future:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


async def _read(protocol, most: int) -> bytes | RefusedError:
    """The body, or what is wrong with it."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in protocol:
                body += piece
                if len(body) > most:
                    return TooLargeError.of(most)
    except TimeoutError:
        return SlowError(f"the body did not come within {BODY_SECONDS:g} s")
    return body


def _environ(scope) -> dict:
    """PEP 3333, as far as the application and Werkzeug look at it."""
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
        "wsgi.url_scheme": scope.scheme,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # would pass for the header with a hyphen, that a proxy wrote
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
