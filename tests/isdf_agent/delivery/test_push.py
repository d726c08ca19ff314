"""The push: what makes the router pull, how often at most, and what a flood costs."""

import socket
import time

import pytest
from fakes import FakeLoop
from simulator import DEVICE_KEY

from isdf.loop import Loop
from isdf.wire import derive, push_datagram
from isdf_agent.delivery.push import Bucket, PushSocket
from isdf_agent.delivery.schedule import Schedule

KEY = derive(DEVICE_KEY, "push")


class Port:
    """A push socket on a free port of a real loop, and somebody who sends to it."""

    def __init__(self, family):
        self.loop, self.pushes = Loop(), 0
        self.push = PushSocket(self.loop, DEVICE_KEY, 0, self.pushed)
        self.sender = socket.socket(family, socket.SOCK_DGRAM)
        self.sender.settimeout(0.05)
        self.to = ("::1" if family == socket.AF_INET6 else "127.0.0.1", self.push.port)

    def pushed(self):
        self.pushes += 1

    def send(self, *datagrams):
        """Send on the loopback, where what was sent is there; serve it, and count the pushes that were heard."""
        for datagram in datagrams:
            self.sender.sendto(datagram, self.to)
        before = self.pushes
        self.loop.step(0)
        return self.pushes - before

    def close(self):
        self.push.close()
        self.sender.close()


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def port(request):
    port = Port(request.param)
    yield port
    port.close()


def test_an_authentic_push_is_heard(port):
    assert port.send(push_datagram(KEY, 7)) == 1


def test_a_repeated_push_counts_once(port):
    assert port.send(*[push_datagram(KEY, 7)] * 5) == 1
    assert port.send(push_datagram(KEY, 7), push_datagram(KEY, 6)) == 0
    assert port.send(push_datagram(KEY, 8)) == 1


def test_what_was_recorded_before_the_floor_is_dead(port):
    port.push.set_floor(100)
    assert port.send(push_datagram(KEY, 100)) == 0
    assert port.send(push_datagram(KEY, 101)) == 1


def test_a_sequence_that_no_manager_can_have_reached_makes_nobody_deaf(port):
    """Whoever stole the database has the key of the pushes."""
    now = int(time.time() * 1000)
    for sequence in (2**64 - 1, 2**53 - 1, now + 2 * 3600 * 1000):
        assert port.send(push_datagram(KEY, sequence)) == 0
    assert port.send(push_datagram(KEY, now)) == 1


def test_a_manager_that_is_ahead_of_the_time_itself_is_heard(port):
    ahead = int(time.time() * 1000) + 10**12
    port.push.set_floor(ahead)
    assert port.send(push_datagram(KEY, ahead + 1)) == 1


def test_a_floor_that_an_assignment_of_a_stolen_key_set_is_lowered_again(port):
    port.push.set_floor(2**53 - 1)
    assert port.send(push_datagram(KEY, 101)) == 0
    port.push.set_floor(100)
    assert port.send(push_datagram(KEY, 101)) == 1
    port.push.set_floor(100)
    assert port.send(push_datagram(KEY, 101)) == 0


@pytest.mark.parametrize(
    "datagram",
    [
        b"", b"x", push_datagram(KEY, 9)[:-1], push_datagram(KEY, 9) + b"\0", bytes(48), bytes(65000),
        push_datagram(derive(DEVICE_KEY, "request"), 9), push_datagram(derive(bytes(32), "push"), 9),
    ],
    ids=["empty", "short", "cut", "long", "zeros", "huge", "another purpose", "another device"],
)  # fmt: skip
def test_anything_else_is_ignored_without_an_answer(port, datagram):
    assert port.send(datagram) == 0
    with pytest.raises(TimeoutError):
        port.sender.recv(1)


def test_what_is_no_push_is_told_at_once_and_then_once_an_hour(caplog, monkeypatch):
    monkeypatch.setattr("isdf_agent.delivery.push._bind", lambda port: FakeSocket())
    loop = FakeLoop()
    push = PushSocket(loop, DEVICE_KEY, 9009, lambda: None)
    for datagram in [push_datagram(KEY, 7)] * 3:
        push._take(datagram)  # the manager repeats itself
    assert caplog.messages == []
    for datagram in (push_datagram(KEY, 6), b"", *[push_datagram(bytes(32), 8)] * 1000):
        push._take(datagram)
    loop.advance(3600)
    loop.advance(7200)
    push._take(b"")
    told = "datagrams on UDP port 9009 that are no push, or none that is new: "
    assert caplog.messages == [told + "1", told + "1001", told + "1"]
    push.close()


class FakeSocket:
    def fileno(self):
        return 5

    def getsockname(self):
        return "::", 9009

    def close(self):
        pass


def test_a_flood_is_read_at_a_bounded_pace_and_a_push_gets_through_after_it(port):
    forged = push_datagram(bytes(32), 9)
    for _ in range(PushSocket.ROUND * 3):
        port.sender.sendto(forged, port.to)
    port.loop.step(0)
    assert port.loop._selector.get_map().get(port.push._socket.fileno()) is None
    port.sender.sendto(push_datagram(KEY, 9), port.to)
    while not port.pushes:
        port.loop.step(None)


# -- when to pull


class Pulls:
    """A schedule on a clock of the test's own, and the pulls that it asked for."""

    def __init__(self, interval=1800):
        self.loop, self.reasons, self.running = FakeLoop(), [], False
        bucket = Bucket(monotonic=lambda: self.loop.time)
        self.schedule = Schedule(
            self.loop, interval, self.pull, bucket=bucket, uniform=lambda low, high: (low + high) / 2
        )

    def pull(self, reason):
        assert not self.running, "one at a time"
        self.running = True
        self.reasons.append(reason)

    def end(self, good=True, retry_after=None):
        self.running = False
        self.schedule.ended(good, retry_after)


@pytest.fixture
def pulls():
    return Pulls()


def test_pulls_follow_at_intervals(pulls):
    pulls.schedule.asked("start")
    for _ in range(3):
        pulls.end()
        pulls.loop.advance(1799)
        assert not pulls.running
        pulls.loop.advance(1)
    assert pulls.reasons == ["start", "interval", "interval", "interval"]


def test_a_push_pulls_at_once(pulls):
    pulls.schedule.pushed()
    assert pulls.reasons == ["push"]


def test_a_push_during_a_pull_leaves_a_flag_and_one_pull_follows(pulls):
    pulls.schedule.pushed()
    for _ in range(5):
        pulls.schedule.pushed()
    assert pulls.reasons == ["push"]
    pulls.end()
    pulls.loop.advance(0)
    assert pulls.reasons == ["push", "push"]
    pulls.end()
    pulls.loop.advance(60)
    assert pulls.reasons == ["push", "push"]


def test_pushes_come_from_a_bucket_and_the_last_one_is_not_lost(pulls):
    for _ in range(10):
        pulls.schedule.pushed()
        if pulls.running:
            pulls.end()
    assert pulls.reasons == ["push"] * 3
    pulls.loop.advance(10)
    assert pulls.reasons == ["push"] * 4
    pulls.end()
    pulls.loop.advance(100)
    assert pulls.reasons == ["push"] * 4


def test_a_pull_by_hand_is_never_kept_waiting_by_the_bucket(pulls):
    for _ in range(10):
        pulls.schedule.asked("asked")
        pulls.end()
    assert len(pulls.reasons) == 10


def test_a_pull_by_hand_during_a_pull_follows_it(pulls):
    pulls.schedule.asked("start")
    pulls.schedule.asked("asked")
    pulls.end()
    assert pulls.reasons == ["start", "asked"]


def test_failures_are_followed_by_longer_and_longer_waits_up_to_the_interval(pulls):
    pulls.schedule.asked("start")
    waits = []
    for _ in range(10):
        pulls.end(good=False)
        before = pulls.loop.time
        while not pulls.running:
            pulls.loop.advance(1)
        waits.append(round(pulls.loop.time - before))
    assert waits[:4] == [15, 30, 60, 120]
    assert waits[-1] == 1800


def test_a_manager_that_asks_for_time_gets_it(pulls):
    pulls.schedule.asked("start")
    pulls.end(good=False, retry_after=600)
    pulls.loop.advance(600)
    assert not pulls.running
    pulls.loop.advance(20)
    assert pulls.running


def test_another_address_of_this_router_is_a_pull_at_once_also_after_failures(pulls):
    pulls.schedule.moved()
    pulls.end(good=False)
    pulls.schedule.moved()
    pulls.end()
    pulls.schedule.moved()
    assert pulls.reasons == ["interface"] * 3
    pulls.schedule.moved()
    pulls.end()
    assert pulls.reasons == ["interface"] * 4, "one follows the one that ran"


@pytest.mark.parametrize("retry_after", [0, 600])
def test_a_manager_that_asks_for_time_gets_it_from_a_router_that_moves_too(pulls, retry_after):
    pulls.schedule.asked("start")
    pulls.schedule.moved()
    pulls.end(good=False, retry_after=retry_after)
    pulls.schedule.moved()
    pulls.loop.advance(retry_after)
    assert pulls.reasons == ["start"]
    pulls.loop.advance(20)
    assert pulls.reasons == ["start", "interval"]
    pulls.end()
    pulls.schedule.moved()
    assert pulls.reasons[2:] == ["interface"]


@pytest.mark.parametrize("reason", ["asked", "push"])
def test_a_person_and_the_manager_itself_need_not_wait_for_that_time(pulls, reason):
    pulls.schedule.asked("start")
    pulls.end(good=False, retry_after=600)
    pulls.schedule.pushed() if reason == "push" else pulls.schedule.asked(reason)
    assert pulls.reasons == ["start", reason]


def test_intervals_are_spread():
    drawn = []
    loop = FakeLoop()
    schedule = Schedule(loop, 1000, lambda reason: None, uniform=lambda low, high: drawn.append((low, high)) or 1)
    schedule.ended(True)
    schedule.ended(False)
    assert drawn == [(0.9, 1.1), (0.9, 1.1), (0.25, 1.75)]  # a retry never waits longer than an interval


def test_a_pull_that_cannot_even_begin_is_a_failure_and_not_the_end_of_all_pulls(pulls):
    begun, pulls.schedule._pull = pulls.schedule._pull, lambda reason: 1 / 0
    pulls.schedule.asked("start")
    pulls.schedule._pull = begun
    pulls.loop.advance(15)
    assert pulls.reasons == ["interval"]
    pulls.end()
    pulls.schedule.pushed()
    assert pulls.reasons == ["interval", "push"]
