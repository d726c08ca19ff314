"""Orders over time: passes that end, processes that die, and a core that is never left holding what is not sold."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import isdf_manager.devices
from isdf.errors import ConflictError, IsdfError, NotFoundError
from isdf.formats import assignment, opkg_index, usign
from isdf_manager import catalogue, publications, signing, storage
from isdf_manager.orders import Orders
from isdf_manager.provision import Hook, HookError
from isdf_manager.schedule import Schedule


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1_790_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Core:
    """The ISP's core: what it holds, by order. A fault is "before" (it does nothing), "after" (it does all, and says
    no) or "dies" (who called it is killed)."""

    longest, patiently = 30.0, Hook.patiently

    def __init__(self) -> None:
        self.holds: dict[str, dict] = {}
        self.faults: dict[str, str] = {}

    def call(self, request) -> None:
        fault = self.faults.get(request.verb)
        if fault != "before":
            if request.verb == "provision":
                self.holds[request.order] = request.configuration
            else:
                self.holds.pop(request.order, None)
        if fault == "dies":
            raise KeyboardInterrupt
        if fault:
            raise HookError("the core says no")


class World:
    """A manager's parts around a clock and a core of the test."""

    def __init__(self, folder) -> None:
        self.clock, self.core = Clock(), Core()
        self.key = signing.generate("assignment")
        self.store = storage.Storage(f"sqlite:///{folder / 'manager.db'}", durable=False)
        self.store.create()
        self.published = publications.Publications(self.key)
        self.orders = Orders(
            self.store, self.published, {"lane": self.core, "film": self.core}, "test", self.clock, self.clock.sleep
        )
        self.devices = isdf_manager.devices.Devices(self.store, self.published, "test")
        self.devices.add("home1", 9009, self.clock())

    def publish(self, folder) -> None:
        catalogue.Catalogue(self.store, "test").publish(folder, signing.generate("catalogue"), self.clock())

    def settle(self) -> None:
        """What `serve` does by itself."""
        self.orders.end_what_is_over()
        for order in self.orders.owed():
            self.orders.settle(order)

    def assigned(self) -> assignment.Assignment:
        """What the router would be given, verified."""
        with self.store.write() as connection:
            self.published.renewed(connection, "home1", self.clock())
            served = publications.newest(connection, "home1")
            packages = connection.execute(
                storage.publication.select().where(storage.publication.c.serial == served.serial)
            ).one()
        text, payload = usign.split_embedded(served.assignment)
        for message, signature in ((payload, text), (packages.packages, packages.signature)):
            usign.verify(message, usign.Signature.parse(signature), self.key.public_key(), signing.ed25519_verify)
        parsed = assignment.parse(payload)
        assert {e["Filename"] for e in opkg_index.parse(packages.packages)} == {e.filename for e in parsed.services}
        return parsed

    def state(self, service: str = "lane") -> str:
        with self.store.read() as connection:
            row = connection.execute(
                storage.order.select()
                .where(storage.order.c.service == service)
                .order_by(storage.order.c.created.desc())
            ).first()
        return row.state


@pytest.fixture
def world(tmp_path, manager):
    made = World(tmp_path)
    made.publish(manager.service())
    yield made
    made.store.close()


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
    call = Core.call

    class Hanging(Core):
        def call(self, request):
            if request.verb == "withdraw" and request.service == "lane":
                hanging.set()
                assert released.wait(10)
            call(self, request)

    world.core.__class__ = Hanging
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


RATES = st.sampled_from(["1mbit", "2mbit", "200kBps"])
SERVICES = st.sampled_from(["lane", "film"])


class Life(RuleBasedStateMachine):
    """Whatever is ordered, however the core behaves and time passes: what is published is what is sold."""

    folders: list  # of the services

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        for folder in self.folders:
            self.world.publish(folder)
        self.sold: dict[str, tuple[dict, int | None]] = {}  # the model: configuration and end of what was sold

    def now(self) -> dict:
        return {s: config for s, (config, until) in self.sold.items() if until is None or until > self.world.clock()}

    @rule(service=SERVICES, rate=RATES, length=st.sampled_from([None, 1, 60, 7200]))
    def subscribe(self, service, rate, length) -> None:
        had, starts = service in self.now(), int(self.world.clock())
        try:
            change = self.world.orders.subscribe("home1", service, [f"rate={rate}"], length)
        except ConflictError:
            assert had
        except HookError:
            assert self.world.core.faults
        else:
            assert not had
            assert change.until == (None if length is None else starts + length)
            self.sold[service] = {"rate": rate}, change.until

    @rule(service=SERVICES, rate=RATES)
    def configure(self, service, rate) -> None:
        had = service in self.now()
        try:
            self.world.orders.configure("home1", service, [f"rate={rate}"])
        except NotFoundError:
            assert not had
        except HookError:
            assert self.world.core.faults
        else:
            assert had
            self.sold[service] = {"rate": rate}, self.sold[service][1]

    @rule(service=SERVICES)
    def unsubscribe(self, service) -> None:
        had = service in self.now()
        try:
            self.world.orders.unsubscribe("home1", service)
        except NotFoundError:
            assert not had
        self.sold.pop(service, None)

    @rule(seconds=st.sampled_from([0.5, 1, 30, 3600, 4 * 86400]))
    def time_passes(self, seconds) -> None:
        self.world.clock.now += seconds

    @rule(verb=st.sampled_from(["provision", "withdraw"]), fault=st.sampled_from(["before", "after"]))
    def core_breaks(self, verb, fault) -> None:
        self.world.core.faults[verb] = fault

    @rule()
    def serve_looks(self) -> None:
        self.world.settle()

    @rule()
    def core_is_mended(self) -> None:
        self.world.core.faults.clear()
        self.world.clock.now += 300  # the longest pause between two tries
        self.world.settle()
        assert sorted(c["rate"] for c in self.world.core.holds.values()) == sorted(
            c["rate"] for c in self.now().values()
        )

    @invariant()
    def published_is_sold(self) -> None:
        parsed = self.world.assigned()
        assert {e.name: e.config for e in parsed.services} == self.now()
        assert {e.name: e.until for e in parsed.services} == {s: self.sold[s][1] for s in self.now()}
        assert parsed.expires > self.world.clock()

    def teardown(self) -> None:
        self.core_is_mended()
        self.world.store.close()
        shutil.rmtree(self.folder)


def test_what_is_published_is_what_is_sold(manager):
    Life.folders = [manager.service("lane"), manager.service("film")]
    run_state_machine_as_test(
        Life, settings=settings(max_examples=8, stateful_step_count=25, deadline=None, phases=[Phase.generate])
    )
