"""A manager whose clock is set back: nothing waits for the hour to pass again, and what is published goes on rising."""

import pytest

from isdf_manager import publications

HOUR = 3600


def died(world, verb: str) -> None:
    """An order whose process dies in the hook, just before the clock is set back."""
    world.core.faults[verb] = "dies"
    orders, words = world.orders, ["rate=1mbit"]
    with pytest.raises(KeyboardInterrupt):
        orders.unsubscribe("home1", "lane") if verb == "withdraw" else orders.subscribe("home1", "lane", words)
    world.core.faults.clear()
    world.clock.now -= HOUR


def test_an_order_whose_process_died_is_withdrawn_at_once(world):
    died(world, "provision")
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])


def test_the_next_order_does_not_wait_for_one_whose_process_died(world):
    died(world, "provision")
    before = world.clock()
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    assert world.clock() - before < 60
    assert len(world.core.holds) == 1


def test_a_withdrawal_whose_process_died_is_done_at_once(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    died(world, "withdraw")
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


def test_what_the_core_refused_is_tried_again_at_once(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    world.core.faults["withdraw"] = "before"
    assert world.orders.unsubscribe("home1", "lane").trouble
    world.core.faults.clear()
    world.clock.now -= HOUR
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


@pytest.mark.parametrize("operation", ["configure", "unsubscribe"])
def test_what_is_sold_can_be_changed_though_its_last_change_died(world, operation):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    world.core.faults["provision"] = "dies"
    with pytest.raises(KeyboardInterrupt):
        world.orders.configure("home1", "lane", ["rate=2mbit"])
    world.core.faults.clear()
    world.clock.now -= HOUR
    if operation == "configure":
        world.orders.configure("home1", "lane", ["rate=3mbit"])
        assert list(world.core.holds.values()) == [{"rate": "3mbit"}]
    else:
        world.orders.unsubscribe("home1", "lane")
        assert world.core.holds == {}


def test_a_hook_that_runs_when_it_happens_is_undone_if_its_order_was_taken_back(world):
    call = world.core.call

    def slow(request):
        call(request)
        if request.verb == "provision":
            world.clock.now -= HOUR
            world.settle()  # `serve` beside it takes the claim for one whose process died

    world.core.call = slow
    with pytest.raises(Exception, match="taken back meanwhile"):
        world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    world.core.call = call
    world.settle()
    assert (world.core.holds, world.assigned().services) == ({}, ())


def test_serials_and_pushes_go_on_rising(world):
    before = world.assigned()
    world.clock.now -= HOUR
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    after = world.assigned()
    assert after.serial == before.serial + 1
    assert after.issued < before.issued


def test_a_pass_lasts_as_long_as_it_was_sold(world):
    world.clock.now -= HOUR
    until = world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60).until
    assert until - world.clock() <= 60
    world.clock.now = until
    world.settle()
    assert world.state() == "ended"


def test_an_assignment_from_a_future_that_was_none_is_made_anew(world):
    world.clock.now += 10 * 365 * 86400
    future = world.assigned()
    world.clock.now -= 10 * 365 * 86400
    now = world.assigned()
    assert now.serial == future.serial + 1
    assert now.expires == int(world.clock()) + publications.LIFE


def test_one_that_is_an_hour_ahead_is_served_as_it_is(world):
    before = world.assigned()
    world.clock.now -= HOUR
    assert world.assigned() == before
