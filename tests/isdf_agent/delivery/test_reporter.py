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
        end(status)


@pytest.fixture
def posts():
    return Posts()


def test_a_report_is_sent_at_once(posts):
    posts.reporter.send({"serial": 1})
    posts.ended(0)
    posts.loop.advance(86400)
    assert posts.sent == [1]


def test_what_could_not_be_delivered_is_tried_again_at_longer_and_longer_intervals(posts):
    posts.reporter.send({"serial": 1})
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
    posts.reporter.send({"serial": 1})
    posts.reporter.send({"serial": 2})
    posts.reporter.send({"serial": 3})
    posts.ended(1)
    posts.loop.advance(5)
    assert posts.sent == [1, 3]


def test_what_waits_goes_out_when_the_manager_answers_again(posts):
    posts.reporter.send({"serial": 1})
    posts.ended(1)
    posts.reporter.reachable()
    assert posts.sent == [1, 1]
    posts.ended(0)
    posts.reporter.reachable()
    assert posts.sent == [1, 1]


def test_a_report_that_the_manager_will_never_take_is_dropped(posts):
    posts.reporter.send({"serial": 1})
    posts.ended(2)
    posts.loop.advance(86400)
    assert posts.sent == [1]
