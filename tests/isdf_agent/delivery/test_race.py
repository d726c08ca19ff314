"""Connections over lines that lose packets, to hosts with several addresses."""

import socket
import time

import pytest

from isdf_agent.delivery import race


@pytest.fixture
def listening():
    """`listening(deaf=False)`: the port of somebody on 127.0.0.1; one that is deaf lets first packets fall."""
    made = []

    def listen(deaf: bool = False) -> int:
        server = socket.create_server(("127.0.0.1", 0), backlog=0)
        made.append(server)
        port = server.getsockname()[1]
        for _ in range(4 if deaf else 0):  # the kernel's queue of those that nobody has accepted is full
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
            made.append(waiting)
        return port

    yield listen
    for one in made:
        one.close()


@pytest.fixture
def names(monkeypatch):
    """`names(host=[port, ...])`: what the name server says; each port on 127.0.0.1 plays an address."""

    def say(**hosts: list[int]) -> list[str]:
        asked = []

        def look_up(host, port, type=0):
            host = host.decode()
            asked.append(host)
            if host not in hosts:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, type, 6, "", ("127.0.0.1", port)) for port in hosts[host]]

        monkeypatch.setattr(race.socket, "getaddrinfo", look_up)
        return asked

    return say


def reached(*words, timeout=5.0) -> int:
    with race.connect(*words, timeout) as won:
        return won.getpeername()[1]


def test_the_first_address_serves(listening, names):
    port = listening()
    names(host=[port, listening()])
    assert reached("host", 443, None) == port


def test_an_address_that_does_not_answer_holds_nobody_up(listening, names):
    port = listening()
    names(host=[listening(deaf=True), port])
    begun = time.monotonic()
    assert reached("host", 443, None) == port
    assert race.DELAY <= time.monotonic() - begun < 1


def test_an_address_that_refuses_is_passed_over_at_once(listening, names):
    port = listening()
    names(host=[1, port])
    begun = time.monotonic()
    assert reached("host", 443, None) == port
    assert time.monotonic() - begun < race.DELAY


def test_what_served_last_is_tried_before_the_name_is_looked_up(listening, names):
    known = listening()
    asked = names(host=[listening()], known=[known])
    assert reached("host", 443, "known") == known
    assert asked == ["known"]


def test_what_served_last_and_is_gone_costs_a_moment(listening, names):
    port = listening()
    names(host=[port], known=[listening(deaf=True)])
    assert reached("host", 443, "known") == port


def test_a_first_packet_that_was_lost_is_sent_again_soon(listening, names, monkeypatch):
    deaf, port = listening(deaf=True), listening()
    begun = []
    original = race._begin

    def begin(family, address):
        begun.append(address)
        return original(family, ("127.0.0.1", port if len(begun) == 3 else deaf))

    monkeypatch.setattr(race, "_begin", begin)
    names(host=[deaf])
    assert reached("host", 443, None) == port
    assert len(begun) == 3


def test_nobody_answers(listening, names):
    names(host=[listening(deaf=True)])
    with pytest.raises(TimeoutError):
        race.connect("host", 443, None, 0.4)


def test_all_refuse(names):
    names(host=[1, 1])
    with pytest.raises(ConnectionRefusedError):
        race.connect("host", 443, None, 5)


def test_without_a_name_server_the_known_address_has_its_time(names, monkeypatch):
    names(known=[9])
    begun = []

    def slow(racing, seconds):
        """Nobody within the delay between attempts; somebody within the time for all."""
        begun.append(seconds)
        return racing.popitem()[1] if seconds > race.DELAY else None

    monkeypatch.setattr(race, "_first", slow)
    with race.connect("host", 443, "known", 5):
        pass
    assert len(begun) == 2


def test_without_a_name_server_and_with_a_known_address_that_refuses(names):
    names(known=[1])
    with pytest.raises(OSError, match=r"not known|refused"):
        race.connect("host", 443, "known", 5)


def test_a_name_that_is_not_known(names):
    names()
    with pytest.raises(socket.gaierror):
        race.connect("host", 443, None, 5)
