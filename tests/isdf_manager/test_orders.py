"""Orders over time: passes that end, processes that die, and a core that is never left holding what is not sold."""

from __future__ import annotations

import threading

import pytest

from isdf.errors import ConflictError, IsdfError
from isdf_manager import status, storage
from isdf_manager.claims import LateError
from isdf_manager.orders import Orders
from isdf_manager.provision import HookError
from isdf_manager.schedule import Schedule


def test_a_pass_ends_by_itself_in_assignment_and_core(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60)
    until = world.assigned().services[0].until
    assert world.orders.settling.next_due() == until
    world.clock.now = until - 0.01
    world.settle()
    assert len(world.core.holds) == len(world.assigned().services) == 1
    world.clock.now = until
    assert world.assigned().services == ()
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")
    assert world.orders.settling.next_due() is None
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
    world.clock.now = world.orders.settling.next_due()
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
        pauses.append(world.orders.settling.next_due() - world.clock.now)
        world.clock.now = world.orders.settling.next_due()
    assert pauses == pytest.approx([1, 2, 5, 15, 60, 300, 300, 300])
    world.core.faults.clear()
    world.settle()
    assert world.state() == "ended"


def overtaken(world, verb, rate):
    """Let an hour pass, and `serve` look, while the core is at `verb` with `rate`."""
    call = world.core.call

    def slow(request) -> None:
        if (request.verb, request.configuration["rate"]) == (verb, rate):
            world.core.call = call
            world.clock.now += 3600
            world.settle()
        call(request)

    world.core.call = slow


def test_what_is_provisioned_after_its_claim_ran_out_is_withdrawn(world):
    overtaken(world, "provision", "1mbit")
    with pytest.raises(LateError, match="taken back meanwhile"):
        world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    assert world.core.holds
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


def test_what_is_provisioned_late_is_withdrawn_also_beside_the_next_order(world):
    call = world.core.call

    def slow(request) -> None:
        world.core.call = call
        world.clock.now += 3600
        world.settle()
        world.orders.subscribe("home1", "lane", ["rate=2mbit"])
        call(request)

    world.core.call = slow
    with pytest.raises(LateError):
        world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    assert list(world.core.holds.values()) == [{"rate": "2mbit"}]


def test_what_is_configured_after_its_claim_ran_out_is_set_back(world):
    order = world.orders.subscribe("home1", "lane", ["rate=1mbit"]).order
    overtaken(world, "provision", "9mbit")
    with pytest.raises(LateError):
        world.orders.configure("home1", "lane", ["rate=9mbit"])
    world.settle()
    assert world.core.holds == {order: world.assigned().services[0].config} == {order: {"rate": "1mbit"}}


def test_a_process_that_knows_no_hook_does_not_end_what_the_core_was_told(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60)
    world.clock.now += 60
    stale = Orders(world.store, world.published, {}, "serve", world.clock)
    stale.settling.end_what_is_over()
    for order in stale.settling.owed():
        stale.settling.settle(order)
    assert (len(world.core.holds), world.state()) == (1, "ending")
    with world.store.read() as connection:
        assert "names no hook for lane" in str(status.collect(connection, world.clock(), "home1"))
    world.clock.now += 1
    world.settle()
    assert (world.core.holds, world.state()) == ({}, "ended")


def test_a_configure_that_works_forgets_the_trouble_of_one_that_did_not(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    world.core.faults["provision"] = "before"
    with pytest.raises(HookError):
        world.orders.configure("home1", "lane", ["rate=2mbit"])
    world.core.faults.clear()
    world.orders.configure("home1", "lane", ["rate=3mbit"])
    with world.store.read() as connection:
        assert "the core says no" not in str(status.collect(connection, world.clock()))


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
    schedule = Schedule(world.orders.settling, clock=world.clock)
    schedule.tick()
    assert hanging.wait(10)
    while world.state("film") != "ended":
        schedule.tick()
    assert world.state("lane") == "ending"
    released.set()
    schedule.stop()
    assert (world.core.holds, world.state("lane")) == ({}, "ended")


def test_the_schedule_neither_spins_nor_stays_when_many_hooks_hang(world):
    homes = [f"home{number}" for number in range(1, 9)]
    for home in homes[1:]:
        world.devices.add(home, 9009, world.clock())
    for home in homes:
        world.orders.subscribe(home, "lane", ["rate=1mbit"], length=60)
    world.clock.now += 60
    released, hanging, begun = threading.Event(), threading.Event(), []

    def hangs(request) -> None:
        begun.append(request.device)
        hanging.set()
        assert released.wait(10)

    world.core.call = hangs
    schedule = Schedule(world.orders.settling, workers=1, clock=world.clock)
    schedule.tick()
    assert hanging.wait(10)
    assert schedule.tick() == 1
    threading.Timer(0.1, released.set).start()
    schedule.stop()
    assert len(begun) == 1  # the others are for the next `serve`


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
