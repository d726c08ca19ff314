"""From the operator's command to the router: what is sold is assigned, verified, fetched, and told as it happens."""

import itertools
import re

import pytest

from isdf.errors import UnavailableError
from isdf_manager import push, storage
from served import wait_for

pytestmark = pytest.mark.system


def test_a_sold_service_reaches_the_router(manager):
    listener = manager.listening()
    out = manager.ok(
        "subscribe", "home1", "lane", "--config", "rate=200kBps", "sites=a.example,b.example", "--for", "2h"
    )
    assert re.fullmatch(r"sold until .+Z, order [0-9a-f]{16}\npushed\npulled after \d+ ms\nrunning after \d+ ms\n", out)
    assert listener.router.runs() == {"lane": {"rate": "200kBps", "sites": ["a.example", "b.example"]}}
    entry = listener.router.assignment.services[0]
    assert entry.until == entry.since + 7200
    assert [f.path for f in listener.router.packages["lane"].files if f.kind == "file"] == [
        "/usr/lib/isdf/services/lane/service.json", "/usr/lib/isdf/services/lane/service.py",
    ]  # fmt: skip


def test_configure_and_unsubscribe_reach_the_router(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert "configured\npushed" in manager.ok("configure", "home1", "lane", "rate=400kBps")
    assert listener.router.runs() == {"lane": {"rate": "400kBps"}}
    assert re.search(
        r"cancelled\npushed\npulled after \d+ ms\nended after \d+ ms\n", manager.ok("unsubscribe", "home1", "lane")
    )
    assert listener.router.runs() == {}


def test_a_new_version_reaches_who_has_the_service(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    manager.ok("publish", str(manager.service(version="1.0.1")))
    manager.ok("push", "home1")
    assert [e.version for e in listener.router.assignment.services] == ["1.0.1"]


def test_a_push_that_leaves_nothing_that_runs_is_applied(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    manager.ok("unsubscribe", "home1", "lane", "--no-push")
    assert re.fullmatch(r"pushed\npulled after \d+ ms\napplied after \d+ ms\n", manager.ok("push", "home1"))
    assert listener.router.runs() == {}


def test_a_push_without_news_brings_the_same_under_a_serial_of_its_own(manager):
    listener = manager.listening()
    before = listener.router.assignment
    assert re.fullmatch(r"pushed\npulled after \d+ ms\nnothing new\n", manager.ok("push", "home1"))
    after = listener.router.assignment
    assert (after.services, after.index_sha256) == (before.services, before.index_sha256)
    assert after.serial > before.serial


def test_a_lost_push_is_sent_again_with_the_same_sequence(manager):
    listener = manager.listening(deaf=1)
    manager.ok("push", "home1")
    assert len(listener.pushes) == 2
    assert len(set(listener.pushes)) == 1
    manager.ok("push", "home1")
    assert listener.pushes[-1] > listener.pushes[0]


def test_what_the_router_reports_as_failure_is_the_commands_failure(manager):
    listener = manager.listening()
    listener.router.error = "ImportError: no module named foo\n"
    said = manager.fails("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert said.startswith("home1 reports: lane failed: ImportError: no module named foo (order ")
    assert "ImportError" in manager.ok("status")


def test_an_assignment_that_the_router_refuses_is_the_commands_failure(manager):
    listener = manager.listening()
    refused = {"type": "bad-signature", "title": "The signature does not verify", "detail": "the index was changed"}
    listener.router.says = {"serial": listener.router.assignment.serial, "applied": False, "error": refused}
    said = manager.fails("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert said.startswith("home1 reports: the index was changed (order ")


def test_another_service_that_fails_is_not_the_commands_failure(manager):
    listener = manager.listening()
    manager.ok("publish", manager.service("film"))
    manager.ok("subscribe", "home1", "film", "--config", "rate=200kBps")
    film = {"name": "film", "version": "1.0.0", "state": "failed", "since": None, "error": "no memory"}
    lane = {"name": "lane", "version": "1.0.0", "state": "running", "since": 1, "error": None}
    listener.router.says = {"applied": False, "services": [film, lane]}
    assert "running after" in manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert "film failed: no memory" in manager.fails("push", "home1")


def test_a_configuration_that_the_service_does_not_take_is_the_commands_failure(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    lane = {"name": "lane", "version": "1.0.0", "state": "running", "since": 1, "error": "the line has 1 kB/s left"}
    listener.router.says = {"applied": False, "services": [lane]}
    said = manager.fails("configure", "home1", "lane", "rate=900mbit")
    assert said.startswith("home1 reports: lane: the line has 1 kB/s left (order ")


def test_a_router_that_is_off_is_told_of(manager, monkeypatch):
    monkeypatch.setattr(push, "PULL_TIMEOUT", 0.05)
    listener = manager.listening(deaf=100)
    said = manager.fails("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert said.startswith("home1 did not pull within 0.05 s of the push to 127.0.0.1; it will by itself")
    listener.router.pull()
    monkeypatch.setattr(push, "PULL_TIMEOUT", 10.0)
    monkeypatch.setattr(push, "REPORT_TIMEOUT", 0.05)
    listener.deaf = 0
    listener.router.report = lambda: None
    assert "home1 pulled, but did not report within 0.05 s" in manager.fails("configure", "home1", "lane", "rate=1mbit")


def test_a_clock_that_is_set_back_does_not_make_a_push_wait(world):
    with world.store.write() as connection:
        connection.execute(storage.contact.update().values(address="127.0.0.1"))
        connection.execute(storage.device.update().values(device_key="00" * 32))
    slept = itertools.count(1)

    def sleep(seconds):
        world.clock.now -= 3600
        assert next(slept) < 12

    sent, ticks = [], itertools.count()
    pushing = push.Push(
        world.store, lambda text: None, lambda *datagram: sent.append(datagram), world.clock, sleep,
        monotonic=lambda: float(next(ticks)),
    )  # fmt: skip
    with pytest.raises(UnavailableError, match="did not pull within 10 s"):
        pushing.deliver("home1", 1 << 60)
    assert len(sent) == 6


def test_a_router_that_pulls_by_itself_before_it_is_pushed_has_pulled(manager, monkeypatch):
    monkeypatch.setattr(push, "PULL_TIMEOUT", 0.05)
    router = manager.listening(deaf=100).router
    begin = push.Push.deliver

    def pulled_before(*arguments, **more):
        router.pull()
        router.report()
        begin(*arguments, **more)

    monkeypatch.setattr(push.Push, "deliver", pulled_before)
    told = manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert re.search(r"pushed\npulled after 0 ms\nrunning after 0 ms\n", told)


def test_a_device_that_never_called_gets_it_with_its_first_pull(manager):
    router = manager.router()
    assert "not pushed: home1 has not called in yet" in manager.ok(
        "subscribe", "home1", "lane", "--config", "rate=1mbit"
    )
    assert "has not called in yet" in manager.fails("push", "home1")
    manager.ok("device", "add", "home2")
    assert manager.fails("push", "home2") == (
        "home2 has not called in yet: enrol its router first ('isdf-manager device show home2' tells whether its claim "
        "code is used, 'device replace home2' makes another one)"
    )
    router.pull()
    assert router.runs() == {"lane": {"rate": "1mbit"}}


def test_a_push_recorded_is_worth_nothing_to_a_router_that_has_what_it_announced(manager):
    """Also after a restart of the router, whose floor is then that of its assignment."""
    listener = manager.listening()
    commands = (["subscribe", "home1", "lane", "--config", "rate=1mbit"], ["push", "home1"], ["push", "home1"])
    for number, command in enumerate(commands, 1):
        manager.ok(*command)
        assert len(listener.pushes) == number
        wait_for(lambda: listener.router.assignment.push_floor == listener.pushes[-1])
    assert sorted(set(listener.pushes)) == listener.pushes
