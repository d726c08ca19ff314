"""Reports reach the manager sooner or later, the newest first, one at a time."""

import pytest
from fakes import FakeLoop

from isdf_agent.delivery.reporter import Reporter


class Posts:
    def __init__(self):
        self.loop, self.sent, self.end = FakeLoop(), [], None
        self.reporter = Reporter(self.loop, self.post, uniform=lambda low, high: (low + high) / 2)

    def post(self, report, done):
        assert self.end is None, "one at a time"
        self.sent.append(report["serial"])
        self.end = done

    def ended(self, status):
        end, self.end = self.end, None
        end(status, "the reason")


def report(serial, *starting):
    """One of the services tv, which runs, and of those that are starting."""
    states = {"tv": "running"} | dict.fromkeys(starting, "starting")
    return {"serial": serial, "services": [{"name": name, "state": state} for name, state in states.items()]}


@pytest.fixture
def posts():
    return Posts()


def test_a_report_is_sent_at_once(posts):
    posts.reporter.send(report(1))
    posts.ended(0)
    posts.loop.advance(86400)
    assert posts.sent == [1]


def test_what_could_not_be_delivered_is_tried_again_at_longer_and_longer_intervals(posts):
    posts.reporter.send(report(1))
    times = []
    for _ in range(12):
        posts.ended(1)
        before = posts.loop.time
        while posts.end is None:
            posts.loop.advance(1)
        times.append(round(posts.loop.time - before))
    assert times[:4] == [5, 10, 20, 40]
    assert times[-1] == 1800
    posts.ended(0)
    posts.loop.advance(86400)
    assert len(posts.sent) == 13


def test_the_newest_report_takes_the_place_of_those_that_wait(posts):
    posts.reporter.send(report(1))
    posts.reporter.send(report(2))
    posts.reporter.send(report(3))
    posts.ended(1)
    posts.loop.advance(5)
    assert posts.sent == [1, 3]


def test_what_waits_goes_out_when_the_manager_answers_again(posts):
    posts.reporter.send(report(1))
    posts.ended(1)
    posts.reporter.reachable()
    assert posts.sent == [1, 1]
    posts.ended(0)
    posts.reporter.reachable()
    assert posts.sent == [1, 1]


def test_a_report_that_the_manager_will_never_take_is_dropped(posts):
    posts.reporter.send(report(1))
    posts.ended(2)
    posts.loop.advance(86400)
    assert posts.sent == [1]


def test_a_service_that_is_ready_in_a_moment_costs_one_report(posts):
    posts.reporter.send(report(1, "vpn"))
    posts.loop.advance(0.5)
    posts.reporter.send(report(2))
    assert posts.sent == [2]
    posts.ended(0)
    posts.loop.advance(86400)
    assert posts.sent == [2]


def test_one_that_takes_longer_is_told_to_be_starting(posts):
    posts.reporter.send(report(1, "vpn"))
    assert posts.sent == []
    posts.loop.advance(Reporter.STARTING)
    assert posts.sent == [1]
    posts.ended(0)
    posts.reporter.send(report(2))
    assert posts.sent == [1, 2]


def test_one_that_hangs_does_not_hold_back_what_is_known_of_others(posts):
    posts.reporter.send(report(1, "hangs"))
    posts.loop.advance(Reporter.STARTING)
    posts.ended(0)
    posts.reporter.send(report(2, "hangs"))
    assert posts.sent == [1, 2]


def test_of_two_that_start_together_the_first_is_told_when_it_is_known(posts):
    posts.reporter.send(report(1, "hangs", "vpn"))
    posts.loop.advance(0.5)
    posts.reporter.send(report(2, "hangs"))
    assert posts.sent == [2]


def test_more_and_more_that_start_do_not_wait_longer_than_the_first(posts):
    posts.reporter.send(report(1, "a"))
    posts.loop.advance(0.9)
    posts.reporter.send(report(2, "a", "b"))
    posts.loop.advance(0.1)
    assert posts.sent == [2]
