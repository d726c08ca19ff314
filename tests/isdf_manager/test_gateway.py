"""From RSGI to WSGI: what the application sees of a request, and how long it waits for a body."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from isdf_manager import gateway
from isdf_manager.gateway import Gateway
from isdf_manager.problems import BusyError, SlowError


class Headers(list):
    items = list.__iter__


class Protocol:
    """A client that sends `pieces` and, where it does not `end`, nothing more."""

    def __init__(self, *pieces, end=True):
        self.pieces, self.end = list(pieces), end
        self.answer = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.pieces:
            return self.pieces.pop(0)
        if not self.end:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    def response_bytes(self, *answer):
        self.answer = answer


def scope(path="/a", headers=(), **more):
    values = {"method": "POST", "path": path, "query_string": "", "http_version": "1.1", "scheme": "https",
              "client": "192.0.2.1:1234", "headers": Headers(headers)}  # fmt: skip
    return SimpleNamespace(**values | more)


def serve(application, *requests, threads=2):
    """The answers to `requests`, which come at once."""
    made = Gateway(application, threads)

    async def all_of_them():
        await asyncio.gather(*(made.__rsgi__(*request) for request in requests))

    asyncio.run(all_of_them())
    made.close()
    return [protocol.answer for _, protocol in requests]


def ask(application, protocol=None, **more):
    return serve(application, (scope(**more), protocol or Protocol()))[0]


def seen(**more):
    """The environment of a request."""
    found = {}

    def application(environ, start_response):
        found.update(environ)
        start_response("204 No Content", [])
        return []

    assert ask(application, **more) == (204, [], b"")
    return found


def test_an_answer_is_status_headers_and_body():
    def application(environ, start_response):
        start_response("200 OK", [("A", "b")])
        return [b"one", environ["wsgi.input"].read()]

    assert ask(application, Protocol(b"t", b"wo")) == (200, [("A", "b")], b"onetwo")


@pytest.mark.parametrize(
    ("client", "address"), [("192.0.2.1:80", "192.0.2.1"), ("[2001:db8::1]:80", "2001:db8::1"), ("", "")]
)
def test_the_address_of_a_client(client, address):
    assert seen(client=client)["REMOTE_ADDR"] == address


def test_headers_are_those_of_pep_3333():
    found = seen(headers=[("content-length", "3"), ("x-a", "1"), ("x-a", "2"), ("content-type", "text/plain")])
    assert (found["CONTENT_LENGTH"], found["CONTENT_TYPE"], found["HTTP_X_A"]) == ("3", "text/plain", "1,2")


def test_a_header_with_an_underscore_does_not_pass_for_another():
    found = seen(headers=[("x-forwarded-for", "192.0.2.1"), ("x_forwarded_for", "192.0.2.2")])
    assert found["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"


def test_a_path_is_bytes_as_latin_1():
    assert seen(path="/é")["PATH_INFO"] == "/é".encode().decode("latin-1")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(gateway, "BODY_SECONDS", 0.01)

    def application(environ, start_response):
        with pytest.raises(SlowError):
            environ["wsgi.input"].read()
        start_response("408 Request Timeout", [])
        return []

    assert ask(application, Protocol(b"x", end=False))[0] == 408


def test_half_of_the_threads_wait_for_bodies_at_most():
    refused = threading.Event()
    ends = []

    class Waiting(Protocol):
        async def __anext__(self):
            await asyncio.to_thread(refused.wait)
            raise StopAsyncIteration

    def application(environ, start_response):
        try:
            ends.append(environ["wsgi.input"].read())
        except BusyError:
            refused.set()
        start_response("200 OK", [])
        return []

    serve(application, *((scope(), Waiting()) for _ in range(3)), threads=4)
    assert refused.is_set()
    assert ends == [b"", b""]


def test_who_would_wait_too_long_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(gateway, "_WAITING", 2)
    full = threading.Event()

    class Refused(Protocol):
        def response_bytes(self, status, headers, body):
            super().response_bytes(status, headers, body)
            if status == 503:
                full.set()

    def application(environ, start_response):
        full.wait(10)
        start_response("200 OK", [])
        return []

    answers = serve(application, *((scope(), Refused()) for _ in range(3)))
    assert [status for status, _, _ in answers] == [200, 200, 503]
    assert dict(answers[2][1])["Retry-After"] == "5"
