"""Whatever is ordered, however the core behaves and time passes: what is published is what is sold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from isdf.errors import ConflictError, NotFoundError
from isdf_manager.provision import HookError

pytestmark = pytest.mark.system

RATES = st.sampled_from(["1mbit", "2mbit", "200kBps"])
SERVICES = st.sampled_from(["lane", "film"])


class Life(RuleBasedStateMachine):
    """The rules; `sold` is the model."""

    folders: list  # of the services
    new_world: staticmethod

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = self.new_world(self.folder)
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


def test_what_is_published_is_what_is_sold(manager, new_world):
    Life.new_world = staticmethod(new_world)
    Life.folders = [manager.service("lane"), manager.service("film")]
    run_state_machine_as_test(
        Life, settings=settings(max_examples=8, stateful_step_count=25, deadline=None, phases=[Phase.generate])
    )
