"""What follows of a pull's end: new keys, when an event of an interface is a pull, and that no pull is the last one."""

import os

import pytest
from fakes import FakeLoop, FakeServices

from isdf_agent.config import Config, Paths
from isdf_agent.delivery import way
from isdf_agent.delivery.delivery import Delivery
from isdf_agent.delivery.identity import Identities
from isdf_agent.delivery.joining import lock

URL = "https://manager.example"
MANAGER = "203.0.113.1"
OURS = "198.51.100.7"
UNAVAILABLE = {"type": "unavailable", "detail": "the manager does not answer"}


class Router:
    """A delivery whose pulls end as a test says; `reasons` has why each began, `ways` its own addresses."""

    def __init__(self, folder, operator):
        self.paths = Paths(folder)
        self.identities = Identities(self.paths.flash)
        identity = self.identities.complete(
            self.identities.begin(URL, operator.claim()), "home1", None, operator.keys()
        )
        self.loop, self.reasons, self.told, self.ended = FakeLoop(), [], [], None
        self.ways = {way.WORLD[0]: OURS, MANAGER: OURS}
        config = Config(
            manager="", claim="", insecure=False, pull_interval=1800, ready_timeout=30, push_port=0,
            dataplane="memory", mark_mask=0xFF000000, line=None, wan="wan", lan=("br-lan",),
        )  # fmt: skip
        self.delivery = Delivery(
            self.loop, config, self.paths, identity, FakeServices(), fetch=self.fetch, post=lambda *_: None
        )
        self.delivery.on_pull_started = self.reasons.append

    def fetch(self, told, done):
        self.told.append(told)
        self.ended = done

    def end(self, **result):
        """The pull that runs ends."""
        ended, self.ended = self.ended, None
        ended({"status": "failed", "error": UNAVAILABLE, **result})

    def pull(self, **result):
        self.delivery.pull()
        self.end(**result)

    def changed(self):
        """Whether an event of an interface makes it pull."""
        self.reasons.clear()
        self.delivery.interface_changed()
        return self.reasons == ["interface"]


@pytest.fixture
def router(tmp_path, monkeypatch, operator):
    router = Router(tmp_path, operator)
    monkeypatch.setattr(way, "ours", lambda other: router.ways.get(other))
    return router


ANSWERED = {"ends": [OURS, MANAGER]}


@pytest.mark.parametrize("end", [ANSWERED, {}], ids=["which answered", "which did not"])
def test_an_event_of_an_interface_is_a_pull_where_the_way_to_the_manager_is_another(router, end):
    router.pull(**ANSWERED)
    router.pull(**end)
    router.ways = dict.fromkeys(router.ways, "198.51.100.8")
    assert router.changed()


@pytest.mark.parametrize("end", [ANSWERED, {}], ids=["which answered", "which did not"])
def test_it_is_none_where_nothing_changed_on_the_way_to_the_manager(router, end):
    router.pull(**end)
    assert not router.changed()


def test_it_is_none_where_there_is_no_way_any_more(router):
    router.pull(**ANSWERED)
    router.ways.clear()
    assert not router.changed()


def test_it_is_a_pull_where_there_is_a_way_out_for_the_first_time(router):
    ways, router.ways = router.ways, {}
    router.pull()
    assert not router.changed()
    router.ways = ways
    assert router.changed()


def test_it_is_a_pull_after_the_one_that_began_before(router):
    ways, router.ways = router.ways, {}
    router.delivery.pull()
    router.ways = ways
    router.delivery.interface_changed()
    router.end()
    assert router.reasons == ["asked", "interface"]


def test_it_is_none_while_the_manager_wants_to_be_left_alone(router):
    router.pull(**ANSWERED, retry_after=77.0)
    router.ways[MANAGER] = "198.51.100.8"
    assert not router.changed()
    router.loop.advance(77 + 2 * 15)
    assert router.reasons == ["interval"]


def test_only_where_a_pull_was_served_the_next_one_asks_before_the_name_is_looked_up(router):
    router.pull(ends=[OURS, "192.0.2.99"])
    router.delivery._on_push()
    assert router.told[-1]["known"] is None


@pytest.mark.parametrize(
    "result",
    [{"status": "unchanged"}, {"status": "fetched"}, {"status": "fetched", "assignment": "/"}, {"keys": 5}],
    ids=str,
)
def test_whatever_a_pull_ends_with_another_one_follows(router, result):
    router.pull(**result)
    router.loop.advance(2 * 15)
    assert router.reasons == ["asked", "interval"]


@pytest.mark.parametrize("enrolling", [False, True])
def test_new_keys_are_kept_unless_somebody_enrols_this_router_just_now(router, operator, tmp_path, enrolling):
    (tmp_path / "newer").write_bytes(operator.keys(version=operator.keys_version + 1))
    held = lock(router.paths, wait=False) if enrolling else None
    router.pull(keys=str(tmp_path / "newer"))
    assert router.identities.load()[1].version == operator.keys_version + (not enrolling)
    if held:
        os.close(held)
        router.pull(keys=str(tmp_path / "newer"))
        assert router.identities.load()[1].version == operator.keys_version + 1
