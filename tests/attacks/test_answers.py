"""Whoever answers in the manager's place can keep a home from news, and do nothing else to it."""

import time

import pytest

from attacks.home import Home
from attacks.relay import Relay

pytestmark = pytest.mark.system
attack = pytest.mark.attack
WHERE = ("home1/assignment$", "home1/.*/Packages$", r"home1/.*/Packages\.sig$", r"home1/.*\.ipk$")
FAILED = r"pull \(asked\): the manager"


@pytest.fixture
def refuses(isp, home):
    """`refuses(fault)`: the home stays as it is while `fault` answers in one place after the other, and takes a new
    version afterwards."""

    def try_it(fault, words=FAILED, where=WHERE):
        version = isp.publish()
        for path in where:
            with isp.relay.answering(path, fault):
                home.refuses(words)
        home.takes(tv=version)

    return try_it


def endless(exchange):
    exchange.close_connection = True
    exchange.send_response(200)
    exchange.end_headers()
    for _ in range(1024):  # 64 MB: the relay needs an end, a router without a bound would be full before
        exchange.wfile.write(bytes(65536))


@attack("answer-without-end")
def test_answers_without_end(refuses, home):
    refuses(endless, r"pull \(asked\): the answer of the manager .* is longer than \d+ bytes")
    assert sum(path.stat().st_size for path in home.root.rglob("*") if path.is_file()) < 1 << 20


@attack("answer-of-a-chunk-without-end")
@pytest.mark.parametrize("size", [b"-1", b"7fffffff"])
def test_answers_in_pieces_of_which_one_never_ends(refuses, size):
    """A chunk of -1 bytes is read to the end of the connection by whoever believes it; a home hangs up."""
    taken = []

    def endless_piece(exchange):
        exchange.close_connection = True
        exchange.send_response(200)
        exchange.send_header("Transfer-Encoding", "chunked")
        exchange.end_headers()
        exchange.wfile.write(size + b"\r\n")
        taken.append(0)
        for _ in range(1024):
            exchange.wfile.write(bytes(65536))
            taken[-1] += 65536

    refuses(endless_piece, r"pull \(asked\): the answer of the manager .* is longer than \d+ bytes")
    assert len(taken) == len(WHERE)
    assert max(taken) < 16 << 20  # what the kernel has room for is on the way


_IMPATIENT = """
import sys
from isdf_agent import app
from isdf_agent.delivery import children
children.DEADLINE = 3.0
sys.exit(app.main())
"""


def trickle(exchange):
    exchange.close_connection = True
    exchange.send_response(200)
    exchange.send_header("Content-Length", "1000")
    exchange.end_headers()
    while not exchange.server.ends.wait(1.0):
        exchange.wfile.write(b"x")


@attack("answer-of-one-byte-a-second")
def test_answers_of_one_byte_a_second(isp, tmp_path):
    """At a home whose pulls may take 3 seconds; its agent's own limit is a minute."""
    uci = isp.add("slow")
    isp.sell("slow")
    with Home(tmp_path, uci, isp.relay, code=_IMPATIENT) as home:
        home.start()
        version = isp.publish()
        for path in ("slow/assignment$", r"slow/.*\.ipk$"):
            begun = time.monotonic()
            with isp.relay.answering(path, trickle):
                home.refuses(r"pull \(asked\): the pull took longer than 3 s")
            assert time.monotonic() - begun < 12
        home.takes(tv=version)


@attack("answer-404")
def test_nothing_is_there(refuses):
    refuses(lambda exchange: exchange.answer(404))


@attack("answer-500")
def test_the_manager_fails(refuses):
    refuses(lambda exchange: exchange.answer(500))


def closed(exchange):
    exchange.close_connection = True


@attack("connection-closed")
def test_no_answer_at_all(refuses):
    refuses(closed)


def half(exchange):
    exchange.close_connection = True
    body = exchange.forward().body
    exchange.answer(200, body[: len(body) // 2], Content_Length=str(len(body)))


@attack("half-a-file")
def test_answers_that_break_off(refuses):
    refuses(half, r"pull \(asked\): ")


@attack("redirect-to-another-host")
def test_answers_that_send_the_router_elsewhere(isp, refuses):
    """The other host would give what the manager gives; it is not even asked."""
    other = Relay(isp.relay.manager)
    try:
        refuses(lambda exchange: exchange.answer(302, Location=other.url + exchange.path))
        assert other.seen == []
    finally:
        other.close()


@attack("answer-of-a-captive-portal")
def test_a_page_in_the_place_of_everything(refuses):
    refuses(lambda exchange: exchange.answer(200, b"<html>Accept our terms</html>"), r"pull \(asked\): ")
