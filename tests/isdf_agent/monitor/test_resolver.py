"""Questions to name servers on loopback that answer as a test says."""

import socket

import pytest
from dns_messages import message

from isdf.errors import HostNotFoundError, UnavailableError
from isdf.loop import Loop
from isdf_agent.monitor.analyzers import dns
from isdf_agent.monitor.resolver import Resolver


class Server:
    """A name server: `answer(question) -> bytes | None`."""

    def __init__(self, loop, answer):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = 0

        def readable():
            data, sender = self.socket.recvfrom(4096)
            self.asked += 1
            reply = answer(dns.parse(data))
            if reply is not None:
                self.socket.sendto(reply, sender)

        loop.watch(self.socket.fileno(), readable)


@pytest.fixture
def ask(tmp_path):
    servers = []

    def run(answer, name="tv.example", conf="nameserver 127.0.0.1\n"):
        loop, results = Loop(), []
        server = Server(loop, answer)
        servers.append(server.socket)
        (tmp_path / "resolv.conf").write_text(conf)
        resolver = Resolver(loop, tmp_path / "resolv.conf", server.port)
        resolver.TRIES = 0.02, 0.02
        resolver.resolve(name, lambda *result: results.append(result))
        while not results:
            loop.step(None)
        return *results[0], server

    yield run
    for opened in servers:
        opened.close()


def reply(asked, rcode=0, identifier=None):
    answers = [("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))] if asked.type == dns.A and not rcode else []
    data = message(asked.name, asked.type, answers, rcode=rcode)
    return (asked.id if identifier is None else identifier).to_bytes(2, "big") + data[2:]


def test_a_name_with_an_address_is_found(ask):
    error, answers, server = ask(reply)
    assert error is None
    assert answers == [("tv.example", "192.0.2.1", 60)]
    assert server.asked == 2


def test_a_name_that_does_not_exist_is_said_so(ask):
    error, _, _ = ask(lambda asked: reply(asked, rcode=dns.NX_DOMAIN))
    assert isinstance(error, HostNotFoundError)
    assert str(error) == "host tv.example does not exist; look at its spelling"


def test_a_name_without_an_address_is_said_so(ask):
    error, _, _ = ask(lambda asked: asked.id.to_bytes(2, "big") + message(asked.name, asked.type, [])[2:])
    assert isinstance(error, HostNotFoundError)
    assert "has no address" in str(error)


def test_a_server_that_fails_is_asked_again_and_then_given_up(ask):
    error, _, server = ask(lambda asked: reply(asked, rcode=2))
    assert isinstance(error, UnavailableError)
    assert server.asked == 4


def test_answers_with_another_identifier_do_not_count(ask):
    error, answers, _ = ask(lambda asked: reply(asked, identifier=asked.id ^ 1))
    assert isinstance(error, UnavailableError)
    assert answers == []


def test_one_family_that_answers_is_enough(ask):
    error, answers, _ = ask(lambda asked: reply(asked) if asked.type == dns.A else None)
    assert error is None
    assert answers


def test_without_a_name_server_it_is_said_so(ask):
    error, _, _ = ask(reply, conf="# none\n")
    assert "no name server in resolv.conf" in str(error)
