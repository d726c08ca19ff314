"""The push: datagrams that anybody can send to a home's UDP port."""

import os
import socket
import time

import pytest

from isdf.wire import derive, push_datagram

pytestmark = [pytest.mark.system, pytest.mark.alone]
attack = pytest.mark.attack


class Port:
    """The home's port as a stranger sees it; `fresh()` is what its manager would send now."""

    def __init__(self, isp, home):
        self.home, self._relay = home, isp.relay
        self._key = derive(isp.device_key("home1"), "push")
        self.to = ("127.0.0.1", isp.push_ports["home1"])
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self._last = 0

    def fresh(self) -> bytes:
        self._last = max(self._last + 1, int(time.time() * 1000))
        return push_datagram(self._key, self._last)

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.to)

    def pulls(self) -> int:
        return len(self._relay.asked("^/device/home1/assignment$"))

    def pulled(self, times: int, before: int) -> None:
        """Since `before` pulls there have been as many as that, no more are under way, and nothing was answered."""
        self.home.until(lambda: self.pulls() >= before + times and not self.home.works())
        self.home.pull()  # it would come after any that a push has left to do
        assert self.pulls() == before + times + 1
        self.nothing_was_answered()

    def nothing_was_answered(self) -> None:
        with pytest.raises(BlockingIOError):
            self.socket.recv(1)


@pytest.fixture
def port(isp, home):
    home.kill()  # who starts has a full bucket of pulls by push
    home.start()
    made = Port(isp, home)
    yield made
    made.socket.close()


@pytest.fixture
def ignores(port):
    """`ignores(datagrams)`: none of them makes the home pull, and that is logged; a fresh one does."""

    def try_it(*datagrams: bytes) -> None:
        before, start = port.pulls(), len(port.home.log())
        for datagram in datagrams:
            port.send(datagram)
        port.home.status()  # which it tells after it has read them
        port.send(port.fresh())
        port.pulled(1, before)
        port.home.logged("that are no push, or none that is new", start)

    return try_it


@attack("push-forged")
def test_a_push_by_somebody_who_does_not_have_the_key(ignores):
    sequence = int(time.time() * 1000) + 10
    ignores(push_datagram(bytes(32), sequence), push_datagram(os.urandom(32), sequence), b"iSDF\1" + bytes(43))


@attack("push-of-another-device")
def test_a_push_to_the_neighbour(isp, ignores):
    theirs = isp.enroll("home4")
    ignores(push_datagram(derive(theirs, "push"), int(time.time() * 1000) + 10))


@attack("push-truncated")
def test_a_push_that_is_cut_or_too_long(port, ignores):
    good = port.fresh()
    ignores(b"", good[:1], good[:16], good[:-1], good + b"\0", bytes(48), bytes(60000))


@attack("push-replayed")
def test_a_push_that_was_heard_before(port, ignores):
    first, second, before = port.fresh(), port.fresh(), port.pulls()
    for datagram in (first, second):
        port.send(datagram)
        port.home.status()
    port.pulled(2, before)
    ignores(*[first, second] * 20)


@attack("push-flood")
def test_a_hundred_thousand_datagrams(isp, port, home):
    heard, before = port.fresh(), port.pulls()
    port.send(heard)
    port.pulled(1, before)
    kinds = (heard, push_datagram(bytes(32), 1 << 60), heard[:40], b"", bytes(48))
    before, cpu, start = port.pulls(), home.cpu(), len(home.log())
    for number in range(100_000):
        port.send(kinds[number % len(kinds)])
    assert home.cpu() - cpu < 1.0  # seconds of the agent's, for what takes the sender alone about one
    assert home.status()["error"] is None
    home.logged("that are no push, or none that is new", start)
    assert len(home.log()) - start < 500
    sent = 0
    while port.pulls() == before:  # one that finds the port full is lost, and a manager repeats it
        port.send(port.fresh())
        sent += 1
        home.loop.step(0.25)
    home.until(lambda: not home.works())
    home.pull()
    assert port.pulls() <= before + sent + 1
    port.nothing_was_answered()


@attack("service-takes-the-pushs-port")
def test_somebody_on_the_router_who_takes_the_port_while_the_agent_starts(isp, home, port):
    """Its pulls go on; it says that it hears no pushes, and hears them as soon as the port is free again."""
    home.kill()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        thief.bind(("::", isp.push_ports["home1"]))
        start = len(home.log())
        home.start()
        home.logged("pushes are not heard, because UDP port", start)
        assert home.status()["pushes_heard"] is False
        home.takes(tv=isp.publish())
    home.until(lambda: home.status()["pushes_heard"])
    before = port.pulls()
    port.send(port.fresh())
    port.pulled(1, before)


@attack("push-recorded-before-a-reboot")
@pytest.mark.parametrize("words", [["configure", "home1", "tv", "x=1"], ["push", "home1"]], ids=["news", "by hand"])
def test_a_push_that_was_heard_before_a_reboot(isp, home, port, ignores, words):
    with isp.recording("home1") as wire, isp.operate(*words) as desk:
        before = port.pulls()
        recorded = wire.recv(100)
        port.send(recorded)
        home.until(lambda: port.pulls() > before and desk.poll() is not None)
        assert desk.returncode == 0
    home.until(lambda: not home.works())
    home.kill()
    home.start(booting=True)
    ignores(recorded)
