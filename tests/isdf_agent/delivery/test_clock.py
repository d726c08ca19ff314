"""Time without a battery: the floor, and what an entry has left."""

import pytest
from fakes import FakeLoop
from hypothesis import given
from hypothesis import strategies as st
from simulator import NOW, Operator

from isdf.value import replace
from isdf_agent.delivery.clock import Passes

ENTRY = replace(Operator().subscribe("tv"), since=NOW, until=NOW + 100)
ENDLESS = replace(ENTRY, until=None, offline_grace=50)
DAY = 86400


@pytest.fixture
def loop():
    return FakeLoop()


def follow(loop, *entries, saved=None, issued=NOW):
    """The passes of an assignment of `entries`, which is good for a day."""
    passes = Passes(loop.clock, saved)
    passes.follow(statement(*entries, issued=issued))
    return passes


def statement(*entries, issued=NOW):
    operator = Operator()
    operator.subscribe("tv")
    return operator.statement(services=entries, issued=issued, expires=issued + DAY)


def test_time_is_never_before_what_an_assignment_said(loop):
    loop.skew = -NOW
    loop.clock.learn(NOW + 500)
    loop.time += 10
    assert loop.clock.now() == NOW + 510
    assert not loop.clock.is_set


def test_the_same_assignment_again_changes_nothing(loop):
    loop.skew = -NOW
    loop.clock.learn(NOW + 500)
    loop.time += 10
    loop.clock.learn(NOW + 500)
    assert loop.clock.now() == NOW + 510


def test_a_newer_assignment_that_was_issued_before_the_time_that_is_known_does_not_set_it_back(loop):
    loop.skew = -NOW
    loop.clock.learn(NOW)
    loop.time += 10 * DAY
    loop.clock.learn(NOW + 9 * DAY)
    assert loop.clock.now() == NOW + 10 * DAY


def test_a_newer_assignment_that_was_issued_before_the_last_one_replaces_the_floor(loop):
    """The last one was of a manager whose clock was wrong."""
    loop.clock.learn(NOW + 3650 * DAY)
    assert not loop.clock.is_set
    loop.clock.learn(NOW)
    assert loop.clock.now() == NOW
    assert loop.clock.is_set


def test_a_manager_that_was_wrong_once_may_say_otherwise_the_next_time(loop):
    loop.clock.tell(NOW + 3650 * DAY)
    loop.clock.learn(NOW + 3650 * DAY)
    loop.time += 60
    loop.clock.tell(NOW + 60)
    assert loop.clock.now() == NOW + 60
    loop.skew = -NOW
    assert loop.clock.now() == NOW + 60


def test_what_never_ran_is_not_over_for_good_by_a_time_that_was_wrong(loop):
    loop.clock.tell(NOW + 3650 * DAY)
    passes = follow(loop, ENTRY)
    assert passes.state(ENTRY) == "ended"
    assert passes.left([ENTRY]) == {}
    loop.clock.tell(NOW)
    assert passes.state(ENTRY) == "open"
    assert not passes.has_run(ENTRY)


def test_a_proved_time_gives_back_what_a_wrong_one_or_a_power_cut_took(loop):
    passes = follow(loop, ENTRY, saved={f"tv {ENTRY.order} {ENTRY.until}": 5})
    loop.time += 20
    assert passes.state(ENTRY) == "ended"
    loop.clock.tell(NOW + 20)
    assert passes.state(ENTRY) == "open"
    assert [*passes.left([ENTRY]).values()] == [80]
    loop.time += 80
    assert passes.state(ENTRY) == "ended"


def test_a_clock_that_is_right_is_believed(loop):
    loop.clock.learn(NOW - 500)
    assert loop.clock.now() == NOW
    assert loop.clock.is_set


@pytest.mark.parametrize("skew", [-NOW, -3600, 3600, 11 * 365 * DAY])
def test_the_manager_is_believed_rather_than_a_clock_that_is_far_off(loop, skew):
    loop.skew = skew
    loop.clock.tell(NOW)
    loop.time += 500
    assert loop.clock.now() == NOW + 500
    assert loop.clock.is_set


def test_a_clock_that_is_about_right_is_finer_than_what_the_manager_says(loop):
    loop.skew = 2.5
    loop.clock.tell(NOW)
    loop.time += 500
    assert loop.clock.now() == NOW + 502.5


def test_what_the_manager_says_is_certain_also_for_what_is_left(loop):
    loop.clock.tell(NOW + 50 + loop.clock.OFF)
    passes = follow(loop, ENTRY)
    assert passes.has_run(replace(ENTRY, until=NOW + 50))
    assert not passes.has_run(ENTRY)


def test_an_entry_waits_is_open_and_ends(loop):
    entry = replace(ENTRY, since=NOW + 10)
    passes = follow(loop, entry)
    assert passes.state(entry) == "waiting"
    assert passes.next_look([entry]) == 10
    loop.time += 10
    assert passes.state(entry) == "open"
    assert passes.next_look([entry]) == Passes.LOOK
    loop.time += 40
    assert passes.next_look([entry]) == 50
    loop.time += 50
    assert passes.state(entry) == "ended"
    assert passes.has_run(entry)
    assert passes.next_look([entry]) is None


def test_an_entry_without_an_end_ends_after_its_grace(loop):
    passes = follow(loop, ENDLESS)
    assert passes.state(ENDLESS) == "open"
    assert passes.next_look([ENDLESS]) == DAY + 50
    loop.time += DAY + 49
    assert passes.state(ENDLESS) == "open"
    loop.time += 1
    assert passes.state(ENDLESS) == "ended"
    later = follow(loop, ENDLESS, issued=NOW + DAY + 50)
    assert later.state(ENDLESS) == "open"


def test_an_entry_without_an_end_is_saved_only_where_the_clock_cannot_end_it(loop):
    passes = follow(loop, ENDLESS)
    assert passes.state(ENDLESS) == "open"
    assert passes.left([ENDLESS]) == {}
    loop.skew = -NOW
    loop.time += 60
    assert [*passes.left([ENDLESS]).values()] == [DAY + 50 - 60]


def test_what_is_left_is_saved_and_taken_up(loop):
    passes = follow(loop, ENTRY)
    passes.state(ENTRY)
    loop.time += 60
    saved = passes.left([ENTRY])
    assert list(saved.values()) == [40]
    loop.skew = -1e6
    loop.forget()
    after = follow(loop, ENTRY, saved=saved)
    loop.time += 39
    assert after.state(ENTRY) == "open"
    loop.time += 1
    assert after.state(ENTRY) == "ended"


def test_a_pass_that_is_bought_again_is_another_one(loop):
    again = replace(ENTRY, until=NOW + 300)
    loop.skew = -1e6
    passes = follow(loop, ENTRY)
    passes.state(ENTRY)
    loop.time += 100
    assert passes.state(ENTRY) == "ended"
    passes.follow(statement(again))
    assert passes.state(again) == "open"


def test_what_was_seen_first_by_a_clock_that_was_ahead_has_all_its_time(loop):
    passes = follow(loop, ENTRY)
    loop.skew = 60
    assert passes.state(ENTRY) == "open"
    assert [*passes.left([ENTRY]).values()] == [100]
    loop.skew = 1e9
    assert passes.state(ENTRY) == "ended"
    assert not passes.has_run(ENTRY)
    assert passes.next_look([ENTRY]) == Passes.LOOK
    loop.skew = 0
    assert passes.state(ENTRY) == "open"


MOVES = st.lists(st.tuples(st.floats(0, 60), st.floats(-2e9, 2e9)), max_size=8)


@given(MOVES)
def test_no_way_of_setting_the_clock_makes_a_pass_longer(moves):
    loop = FakeLoop()
    passes = follow(loop, ENTRY)
    passes.state(ENTRY)
    ran = 0.0
    for seconds, skew in moves:
        before = passes.state(ENTRY)
        loop.time += seconds
        ran += seconds if before == "open" else 0
        loop.skew = skew
        if passes.state(ENTRY) == "open":
            assert ran < 100


@given(MOVES, st.sampled_from([ENTRY, ENDLESS]))
def test_no_way_of_setting_the_clock_ends_anything_for_good(moves, entry):
    """With the right time and time left, it runs; whatever the clock said before."""
    loop = FakeLoop()
    passes = follow(loop, entry)
    for seconds, skew in moves:
        loop.time += seconds / 10
        loop.skew = skew
        passes.state(entry)
    loop.skew = 0
    assert passes.state(entry) == "open"


@given(st.integers(1, 3 * DAY), st.lists(st.integers(1, 2 * DAY), max_size=20))
def test_no_power_cut_makes_a_pass_longer_with_a_clock_at_1970(length, runs):
    """Of each process nothing is left but what it saved; the last one runs for as long as it may."""
    loop, kept, ran = FakeLoop(), {}, 0.0
    entry = replace(ENTRY, until=NOW + length)
    loop.skew = -2 * NOW
    for seconds in [*runs, 4 * DAY]:
        loop.forget()
        passes = Passes(loop.clock, dict(kept), kept.update)
        passes.follow(statement(entry))
        while seconds > 0 and passes.state(entry) == "open":
            passes.save([entry])
            step = max(0.01, min(seconds, passes.next_save(), passes.next_look([entry])))
            loop.time += step
            seconds -= step
            ran += step
    assert ran <= length + 1  # with what saved figures are rounded by
    if not runs:
        assert ran >= length - 1
