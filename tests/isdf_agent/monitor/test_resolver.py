"""Questions to name servers on loopback that answer as a test says."""

import socket

import pytest
from dns_messages import message, record

from isdf.errors import HostNotFoundError, UnavailableError
from isdf.loop import Loop
from isdf_agent.monitor import resolver as resolvers
from isdf_agent.monitor.analyzers import dns
from isdf_agent.monitor.resolver import Resolver, SilenceError, name_servers


class Server:
    """A name server: `answer(kind, number) -> bytes | None`."""

    def __init__(self, loop, answer, family=socket.AF_INET):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = []

        def readable():
            data, sender = self.socket.recvfrom(4096)
            number, kind = int.from_bytes(data[:2], "big"), data[-3]
            self.asked.append((number, sender[1]))
            reply = answer(kind, number)
            if reply is not None:
                self.socket.sendto(reply, sender)

        loop.watch(self.socket.fileno(), readable)


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.setattr(resolvers, "TIMEOUTS", (0.03, 0.03))
    servers = []

    def run(answer, name="tv.example", conf="nameserver 127.0.0.1\n"):
        loop, results = Loop(), []
        server = Server(loop, answer)
        servers.append(server.socket)
        (tmp_path / "resolv.conf").write_text(conf)
        resolver = Resolver(loop, tmp_path / "resolv.conf", server.port)
        resolver.resolve(name, lambda *result: results.append(result))
        assert not results
        while not results:
            loop.step(None)
        loop.step(0.05)
        assert len(results) == 1
        return *results[0], server

    yield run
    for opened in servers:
        opened.close()


def good(kind, number, flags=0x8180):
    records = [record("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))] if kind == dns.A else []
    return message("tv.example", kind, *records, flags=flags, number=number)


def test_a_name_with_an_address_is_found(ask):
    addresses, error, server = ask(good)
    assert error is None
    assert addresses == [("192.0.2.1", 60)]
    assert len(server.asked) == 2
    assert len(set(server.asked)) == 2


def test_a_name_that_does_not_exist_is_said_so(ask):
    addresses, error, _ = ask(lambda kind, number: message("tv.example", kind, flags=0x8183, number=number))
    assert addresses == []
    assert isinstance(error, HostNotFoundError)
    assert str(error) == "the name servers know no host tv.example"


def test_a_name_without_an_address_is_said_so(ask):
    _, error, _ = ask(lambda kind, number: message("tv.example", kind, number=number))
    assert isinstance(error, HostNotFoundError)
    assert "has no address" in str(error)


def test_a_server_that_fails_is_asked_again_and_then_given_up(ask):
    _, error, server = ask(lambda kind, number: message("tv.example", kind, flags=0x8182, number=number))
    assert type(error) is UnavailableError
    assert str(error) == "the name servers cannot tell the address of tv.example just now"
    assert len(server.asked) == 4


def test_silence_is_told_from_an_answer_that_helps_nobody(ask):
    _, error, server = ask(lambda kind, number: None)
    assert isinstance(error, SilenceError)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "forged",
    [
        lambda kind, number: good(kind, number ^ 1),
        lambda kind, number: message("bank.example", kind, number=number),
        lambda kind, number: good(kind, number)[:-9],
        lambda kind, number: b"junk",
    ],
    ids=["another id", "another name", "cut", "junk"],
)
def test_answers_to_another_question_do_not_count(ask, forged):
    addresses, error, _ = ask(forged)
    assert addresses == []
    assert error is not None


def test_one_family_that_answers_is_enough(ask):
    addresses, error, _ = ask(lambda kind, number: good(kind, number) if kind == dns.A else None)
    assert addresses
    assert error is None


def test_a_family_without_an_address_and_one_without_an_answer_leave_it_open(ask):
    def answer(kind, number):
        return message("tv.example", kind, number=number) if kind == dns.A else None

    _, error, _ = ask(answer)
    assert type(error) is UnavailableError


def test_a_server_where_nobody_listens_is_passed_over(ask):
    addresses, _, _ = ask(good, conf="nameserver 127.0.0.9\nnameserver 127.0.0.1\n")
    assert addresses == [("192.0.2.1", 60)]


def test_a_pattern_has_no_addresses_of_its_own(tmp_path):
    with pytest.raises(HostNotFoundError):
        Resolver(Loop(), tmp_path / "resolv.conf").resolve("*.tv.example", print)


def test_name_servers_are_those_of_resolv_conf(tmp_path):
    conf = tmp_path / "resolv.conf"
    assert name_servers(conf) == ["127.0.0.1"]
    conf.write_text(
        "search lan\n# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver 2001:db8::1 # two\nnameserver\n"
    )
    assert name_servers(conf) == ["192.0.2.1", "2001:db8::1"]
