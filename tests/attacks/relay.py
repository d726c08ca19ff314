"""Somebody on the way between a home and its manager, who answers in the manager's place as a test orders."""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


@dataclass(frozen=True)
class Request:
    """What a home asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


Fault = Callable[["Exchange"], None]


class Relay(ThreadingHTTPServer):
    """`url` is what homes call; what comes goes to `manager` (host, port). `seen` has all requests;
    `ends` is set when it closes. With a context for TLS it speaks that on both sides."""

    daemon_threads = True

    def __init__(self, manager: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self._tls = tls
        self.manager, self.seen = manager, []
        self.ends = threading.Event()
        self._faults: list[tuple[str, Fault]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def answering(self, path: str, fault: Fault) -> Iterator[None]:
        """Let `fault` answer what asks for a path in which the expression `path` is found."""
        rule = (path, fault)
        self._faults.append(rule)
        try:
            yield
        finally:
            self._faults.remove(rule)

    @contextlib.contextmanager
    def answering_all(self, faults: dict[str, Fault]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for path, fault in faults.items():
                stack.enter_context(self.answering(path, fault))
            yield

    def fault(self, path: str) -> Fault | None:
        return next((fault for pattern, fault in reversed(self._faults) if re.search(pattern, path)), None)

    def asked(self, path: str) -> list[Request]:
        return [request for request in list(self.seen) if re.search(path, request.path)]

    def forward(self, request: Request) -> Answer:
        """The manager's own answer."""
        if self._tls:
            whoever = ssl._create_unverified_context()
            manager = http.client.HTTPSConnection(*self.manager, timeout=10, context=whoever)
        else:
            manager = http.client.HTTPConnection(*self.manager, timeout=10)
        try:
            manager.request(request.method, request.path, request.body or None, request.headers)
            got = manager.getresponse()
            return Answer(got.status, dict(got.getheaders()), got.read())
        finally:
            manager.close()

    def get_request(self):
        link, address = super().get_request()
        if self._tls:
            link.settimeout(10)
            link = self._tls.wrap_socket(link, server_side=True, do_handshake_on_connect=False)
        return link, address

    @property
    def port(self) -> int:
        return self.server_address[1]

    def close(self) -> None:
        self.ends.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), OSError):  # homes hang up
            super().handle_error(request, client_address)


class Exchange(BaseHTTPRequestHandler):
    """One request; a fault uses `forward` and `answer`, or writes to `wfile` whatever it likes."""

    protocol_version = "HTTP/1.1"
    server: Relay

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.request_ = Request(self.command, self.path, dict(self.headers), body)
        self.server.seen.append(self.request_)
        (self.server.fault(self.path) or Exchange.pass_on)(self)

    do_POST = do_GET  # noqa: N815

    def forward(self) -> Answer:
        return self.server.forward(self.request_)

    def pass_on(self) -> None:
        got = self.forward()
        self.answer(got.status, got.body, **got.headers)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name.replace("_", "-"), value)
        if status not in (204, 304):
            self.send_header("Content-Length", headers.get("Content_Length", str(len(body))))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def log_message(self, *_: object) -> None:
        """Its tests look at the home."""


def changing(change: Callable[[bytes], bytes]) -> Fault:
    """A fault that hands on the manager's answer with its body changed."""

    def fault(exchange: Exchange) -> None:
        got = exchange.forward()
        exchange.answer(got.status, change(got.body) if got.status == 200 else got.body, **got.headers)

    return fault


def saying(body: bytes) -> Fault:
    """A fault that answers `body`."""
    return lambda exchange: exchange.answer(200, body)
