"""When repairs are made: soon, not too often, and again after refusals."""

import pytest

from isdf.errors import KernelError
from isdf_agent.healing import APART, RETRY, RETRY_MOST, SETTLE, Healer


class Loop:
    """Timers by hand; the time is that of the last one that came."""

    def __init__(self):
        self.now, self._timers = 100.0, []

    def after(self, seconds, callback):
        timer = Timer(self.now + seconds, callback)
        self._timers.append(timer)
        return timer

    def next(self):
        """Lets the next timer come; the answer is after how many seconds, None where there is none."""
        waiting = sorted((t for t in self._timers if t.callback), key=lambda t: t.when)
        if not waiting:
            return None
        timer = waiting[0]
        callback, timer.callback, waited = timer.callback, None, timer.when - self.now
        self.now = timer.when
        callback()
        return pytest.approx(waited)


class Timer:
    def __init__(self, when, callback):
        self.when, self.callback = when, callback

    def cancel(self):
        self.callback = None


class Kernel:
    """Counts repairs; refuses while `refusal` is set."""

    def __init__(self):
        self.repairs, self.refusal = 0, None

    def repair(self):
        self.repairs += 1
        if self.refusal:
            raise KernelError(self.refusal)


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def healer(loop, kernel):
    return Healer(loop, [kernel.repair], lambda: loop.now)


def test_many_changes_are_one_repair_soon(loop, kernel, healer):
    for _ in range(20):
        healer.look()
    assert loop.next() == SETTLE
    assert kernel.repairs == 1
    assert loop.next() is None


def test_who_changes_something_all_the_time_is_repaired_now_and_then(loop, kernel, healer):
    healer.look()
    loop.next()
    healer.look()
    assert loop.next() == APART
    assert SETTLE + APART < 5


def test_a_refusal_is_tried_again_ever_more_rarely_until_it_works(loop, kernel, healer, caplog):
    kernel.refusal = "the WAN device wan does not exist"
    healer.look()
    loop.next()
    waits = [loop.next() for _ in range(9)]
    assert waits == [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY, 16 * RETRY, 32 * RETRY, *[RETRY_MOST] * 3]
    assert caplog.text.count("does not exist") == 1
    kernel.refusal = None
    loop.next()
    assert loop.next() is None


def test_a_change_is_looked_at_at_once_whatever_was_refused_before(loop, kernel, healer):
    kernel.refusal = "no"
    healer.look()
    for _ in range(6):
        loop.next()
    healer.look()
    assert loop.next() == APART
    assert loop.next() == RETRY


def test_a_refused_change_is_repaired_later_but_not_later_than_what_is_due_already(loop, kernel, healer):
    healer.refused()
    healer.look()
    healer.refused()
    assert loop.next() == SETTLE
    assert loop.next() is None


def test_one_part_that_is_refused_does_not_keep_the_others_from_being_repaired(loop, kernel):
    bad = Kernel()
    bad.refusal = "no"
    Healer(loop, [bad.repair, kernel.repair], lambda: loop.now).look()
    loop.next()
    assert kernel.repairs == 1
