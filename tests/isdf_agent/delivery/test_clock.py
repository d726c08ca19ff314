"""Time without a battery: the floor, and what a pass has left."""

import dataclasses

import pytest
from fakes import FakeLoop
from hypothesis import given
from hypothesis import strategies as st
from simulator import NOW, Operator

from isdf_agent.delivery.clock import Passes

ENTRY = dataclasses.replace(Operator().subscribe("tv"), since=NOW, until=NOW + 100)


@pytest.fixture
def loop():
    return FakeLoop()


def test_time_is_never_before_what_an_assignment_said(loop):
    loop.skew = -NOW
    loop.clock.learn(NOW + 500)
    loop.time += 10
    assert loop.clock.now() == NOW + 510
    assert not loop.clock.is_set


def test_an_older_assignment_does_not_lower_the_floor(loop):
    loop.clock.learn(NOW + 500)
    loop.clock.learn(NOW)
    assert loop.clock.now() == NOW + 500


def test_a_clock_that_is_right_is_believed(loop):
    loop.clock.learn(NOW - 500)
    assert loop.clock.now() == NOW
    assert loop.clock.is_set


def test_an_entry_waits_is_open_and_ends(loop):
    passes = Passes(loop.clock)
    entry = dataclasses.replace(ENTRY, since=NOW + 10)
    assert passes.state(entry) == "waiting"
    assert passes.next_change([entry]) == 10
    loop.time += 10
    assert passes.state(entry) == "open"
    assert passes.next_change([entry]) == 90
    loop.time += 90
    assert passes.state(entry) == "ended"
    assert passes.next_change([entry]) is None


def test_an_entry_without_an_end_never_changes(loop):
    passes = Passes(loop.clock)
    entry = dataclasses.replace(ENTRY, until=None)
    assert passes.state(entry) == "open"
    assert passes.next_change([entry]) is None
    assert passes.left([entry]) == {}


def test_what_is_left_is_saved_and_taken_up(loop):
    passes = Passes(loop.clock)
    passes.state(ENTRY)
    loop.time += 60
    saved = passes.left([ENTRY])
    assert list(saved.values()) == [40]
    loop.skew = -1e6
    after = Passes(loop.clock, saved)
    loop.time += 39
    assert after.state(ENTRY) == "open"
    loop.time += 1
    assert after.state(ENTRY) == "ended"


def test_a_pass_that_is_bought_again_is_another_one(loop):
    passes = Passes(loop.clock)
    loop.skew = -1e6
    loop.clock.learn(NOW)
    passes.state(ENTRY)
    loop.time += 100
    assert passes.state(ENTRY) == "ended"
    assert passes.state(dataclasses.replace(ENTRY, until=NOW + 300)) == "open"


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(-2e9, 2e9)), max_size=8))
def test_no_way_of_setting_the_clock_makes_a_pass_longer(moves):
    loop = FakeLoop()
    passes = Passes(loop.clock)
    passes.state(ENTRY)
    begun = loop.time
    for seconds, skew in moves:
        loop.time += seconds
        loop.skew = skew
        if passes.state(ENTRY) == "open":
            assert loop.time - begun < 100
