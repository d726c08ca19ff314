"""An address that is had once, and that goes from one socket to the next."""

import socket

import pytest

from isdf.errors import InvalidError
from isdf_manager.port import Port


@pytest.fixture
def port():
    made = Port("[::1]:0", 100)
    yield made
    made.close()


@pytest.fixture
def number(port):
    """Its number, under which it is opened again."""
    found = port.newest.getsockname()
    port._address = found
    return found[1]


def connected(number, *sockets) -> list[int]:
    """How many of some clients each of `sockets` gets."""
    clients = [socket.create_connection(("::1", number)) for _ in range(20)]
    counts = [0] * len(sockets)
    for place, sock in enumerate(sockets):
        sock.setblocking(False)
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            counts[place] += 1
    for client in clients:
        client.close()
    return counts


@pytest.mark.parametrize("wrong", ["8080", "[::1]", "a b:80", "[::1]:123456", ":", "[1]:8080"])
def test_what_is_no_address(wrong):
    with pytest.raises(InvalidError, match="listen"):
        Port(wrong, 10)


def test_it_is_had_once(port, number):
    for _ in range(2):
        with pytest.raises(InvalidError, match="Address already in use"):
            Port(f"[::1]:{number}", 10)
        port.renew()


def test_it_is_had_again_at_once_though_clients_were_connected(port, number):
    with socket.create_connection(("::1", number)):
        accepted, _ = port.newest.accept()
        port.close()
        with accepted:
            Port(f"[::1]:{number}", 10).close()


def test_the_newest_gets_all_that_connects(port, number):
    first = port.newest
    assert connected(number, first) == [20]
    second = port.renew()
    assert connected(number, first, second) == [0, 20]
    third = port.renew()
    assert connected(number, first, second, third) == [0, 0, 20]
    port.leave(first)
    assert connected(number, second, third) == [0, 20]
    fourth = port.renew()
    assert connected(number, second, third, fourth) == [0, 0, 20]
    port.leave(third)
    port.leave(second)
    assert connected(number, fourth) == [20]
    fifth = port.renew()
    assert connected(number, fourth, fifth) == [0, 20]


def test_what_connected_before_stays_with_the_one_before(port, number):
    first = port.newest
    with socket.create_connection(("::1", number)) as client:
        port.renew()
        accepted, address = first.accept()
        with accepted:
            assert address == client.getsockname()


@pytest.mark.parametrize("text", ["[::1]:65536", "[::1]:70000", "8080"])
def test_what_is_no_port_is_not_another_one(text):
    with pytest.raises(InvalidError, match="is not of the form"):
        Port(text, 100)
