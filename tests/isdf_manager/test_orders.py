"""Orders over time: passes that end, processes that die, and a core that is never left holding what is not sold."""

from __future__ import annotations

import threading

import pytest

from isdf.errors import ConflictError, IsdfError
from isdf_manager import storage
from isdf_manager.schedule import Schedule


def test_a_pass_ends_by_itself_in_assignment_and_core(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60)
    until = world.assigned().services[0].until
    assert world.orders.next_due() == until
    world.clock.now = until - 0.01
    world.settle()
    assert len(world.core.holds) == len(world.assigned().services) == 1
    world.clock.now = until
    assert world.assigned().services == ()
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")
    assert world.orders.next_due() is None
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])


def test_an_order_whose_process_died_is_withdrawn(world):
    world.core.faults["provision"] = "dies"
    with pytest.raises(KeyboardInterrupt):
        world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    assert world.assigned().services == ()
    world.settle()
    assert world.core.holds  # whoever runs the hook may still be at it
    with pytest.raises(ConflictError, match="is being worked on"):
        world.orders.unsubscribe("home1", "lane")
    world.clock.now = world.orders.next_due()
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


def test_a_configure_whose_process_died_is_set_back(world):
    order = world.orders.subscribe("home1", "lane", ["rate=1mbit"]).order
    world.core.faults["provision"] = "dies"
    with pytest.raises(KeyboardInterrupt):
        world.orders.configure("home1", "lane", ["rate=9mbit"])
    assert world.core.holds[order] == {"rate": "9mbit"}
    assert world.assigned().services[0].config == {"rate": "1mbit"}
    world.core.faults.clear()
    world.clock.now += 60
    world.settle()
    assert world.core.holds[order] == {"rate": "1mbit"}


def test_a_withdrawal_whose_process_died_is_done_again(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    world.core.faults["withdraw"] = "dies"
    with pytest.raises(KeyboardInterrupt):
        world.orders.unsubscribe("home1", "lane")
    world.core.faults.clear()
    world.clock.now += 60
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


def test_a_withdrawal_that_fails_is_tried_less_and_less_often(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60)
    world.core.faults["withdraw"] = "before"
    world.clock.now += 60
    pauses = []
    for _ in range(8):
        world.settle()
        pauses.append(world.orders.next_due() - world.clock.now)
        world.clock.now = world.orders.next_due()
    assert pauses == pytest.approx([1, 2, 5, 15, 60, 300, 300, 300])
    world.core.faults.clear()
    world.settle()
    assert world.state() == "ended"


def test_an_assignment_is_signed_anew_at_half_its_life(world):
    first = world.assigned()
    assert first.expires - first.issued == 7 * 86400
    world.clock.now += 3.5 * 86400 - 1
    assert world.assigned() == first
    world.clock.now += 1
    second = world.assigned()
    assert second.serial > first.serial
    assert second.expires > first.expires
    assert (second.index_sha256, second.services) == (first.index_sha256, first.services)


def test_serials_rise_though_the_clock_is_set_back(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    before = world.assigned().serial
    world.clock.now -= 86400
    assert world.orders.configure("home1", "lane", ["rate=2mbit"]).serial == before + 1


def test_five_publications_are_kept(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    for rate in range(2, 10):
        world.orders.configure("home1", "lane", [f"rate={rate}mbit"])
    with world.store.read() as connection:
        serials = [r.serial for r in connection.execute(storage.publication.select())]
    assert len(serials) == 5
    assert world.assigned().serial == max(serials)


def test_the_schedule_is_not_held_up_by_a_hook_that_hangs(world, manager):
    world.publish(manager.service("film"))
    released, hanging = threading.Event(), threading.Event()
    call = world.core.call

    def hangs(request) -> None:
        if request.verb == "withdraw" and request.service == "lane":
            hanging.set()
            assert released.wait(10)
        call(request)

    world.core.call = hangs
    for service in ("lane", "film"):
        world.orders.subscribe("home1", service, ["rate=1mbit"], length=60)
    world.clock.now += 60
    schedule = Schedule(world.orders, clock=world.clock)
    schedule.tick()
    assert hanging.wait(10)
    while world.state("film") != "ended":
        schedule.tick()
    assert world.state("lane") == "ending"
    released.set()
    schedule.stop()
    assert (world.core.holds, world.state("lane")) == ({}, "ended")


def test_two_at_once_cannot_sell_the_same(world):
    won, lost = [], []

    def sell() -> None:
        try:
            won.append(world.orders.subscribe("home1", "lane", ["rate=1mbit"]))
        except IsdfError as error:
            lost.append(error)

    threads = [threading.Thread(target=sell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), {type(e) for e in lost}) == (1, {ConflictError})
    assert list(world.core.holds) == [won[0].order]
