"""From RSGI to the application: what it sees of a request, what waits, and for how long."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from werkzeug import Response

from isdf.errors import RefusedError
from isdf_manager import gateway
from isdf_manager.dispatch import Work
from isdf_manager.gateway import Gateway
from isdf_manager.problems import BusyError, SlowError, TooLargeError


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


def serve(begin, *requests, **more):
    """The answers to `requests`, which come at once."""
    made = Gateway(SimpleNamespace(begin=begin), 2, **more)

    async def all_of_them():
        await asyncio.gather(*(made.__rsgi__(*request) for request in requests))

    asyncio.run(all_of_them())
    made.close()
    return [protocol.answer for _, protocol in requests]


def seen(**more):
    """The environment of a request."""
    found = {}

    def begin(environ):
        found.update(environ)
        return Response(status=204)

    assert serve(begin, (scope(**more), Protocol()))[0][0] == 204
    return found


def given(*pieces, end=True, most=10):
    """What `Work` gets for a body of `pieces`."""
    got = []

    def run(body):
        got.append(body)
        return Response(status=204)

    serve(lambda _: Work(most, run), (scope(), Protocol(*pieces, end=end)))
    return got[0]


def test_an_answer_is_status_headers_and_body():
    answer = serve(lambda _: Response("whole", headers={"A": "b"}), (scope(), Protocol()))[0]
    assert (answer[0], answer[2]) == (200, b"whole")
    assert {("A", "b"), ("Content-Length", "5")} < set(answer[1])


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


@pytest.mark.parametrize(("inline", "same"), [(True, True), (False, False)])
def test_the_beginning_is_in_the_event_loop_where_it_cannot_wait(inline, same):
    threads = []
    serve(lambda _: threads.append(threading.get_ident()) or Response(), (scope(), Protocol()), inline=inline)
    assert (threads == [threading.get_ident()]) is same


def test_the_rest_is_in_a_thread_and_has_the_body():
    threads = []

    def run(body):
        threads.append(threading.get_ident())
        return Response(body)

    answer = serve(lambda _: Work(10, run), (scope(), Protocol(b"on", b"e")))[0]
    assert answer[2] == b"one"
    assert threads != [threading.get_ident()]


def test_a_body_is_bounded():
    assert given(b"0123456789") == b"0123456789"
    assert isinstance(given(b"0123456789", b"x", end=False), TooLargeError)


def test_a_body_that_nobody_wants_is_not_read():
    assert given(b"x", end=False, most=0) == b""


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(gateway, "BODY_SECONDS", 0.01)
    assert isinstance(given(b"x", end=False), SlowError)


def test_who_would_wait_too_long_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(gateway, "_WAITING", 2)
    full = threading.Event()

    def run(body):
        if isinstance(body, RefusedError):
            full.set()
            assert isinstance(body, BusyError)
            return Response(status=503)
        assert full.wait(10)
        return Response()

    answers = serve(lambda _: Work(0, run, known=True), *((scope(), Protocol()) for _ in range(3)))
    assert [status for status, _, _ in answers] == [200, 200, 503]


def test_strangers_keep_a_place_for_those_who_are_known(monkeypatch):
    monkeypatch.setattr(gateway, "_STRANGERS", 1)
    last = threading.Event()

    def run(body):
        if isinstance(body, RefusedError):
            return Response(status=503)
        assert last.wait(10)
        return Response()

    def known(body):
        last.set()
        return Response(status=204)

    works = iter([Work(0, run), Work(0, run), Work(0, known, known=True)])
    answers = serve(lambda _: next(works), *((scope(), Protocol()) for _ in range(3)))
    assert [status for status, _, _ in answers] == [200, 503, 204]


def test_who_dawdles_with_a_body_takes_no_place(monkeypatch):
    monkeypatch.setattr(gateway, "_WAITING", 1)
    monkeypatch.setattr(gateway, "BODY_SECONDS", 0.1)
    slow = Protocol(b"x", end=False)
    works = iter([Work(10, lambda body: Response(status=408)), Work(0, lambda _: Response())])
    answers = serve(lambda _: next(works), (scope(), slow), (scope(), Protocol()))
    assert [status for status, _, _ in answers] == [408, 200]
