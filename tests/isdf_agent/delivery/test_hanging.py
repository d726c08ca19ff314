"""A service that hangs at its start delays no other, and nothing that is asked meanwhile."""

import pytest
from fakes import Router
from simulator import NOW, Operator


@pytest.fixture
def hanging(router, operator):
    """tv was sold first and hangs."""
    router.services.slow = {"tv"}
    router.pull()
    return router


def test_the_others_are_known_at_once(router, operator):
    operator.subscribe("vpn")
    router.services.slow = {"tv"}
    known = []
    router.rollout.on_settled = lambda changed: known.append(router.told())
    router.pull()
    assert known == [{"tv": ("1.0.0", "starting", None), "vpn": ("1.0.0", "running", None)}]
    assert router.rollout.report()[0] is False
    router.services.broken["tv", "1.0.0"] = "it did not call ready within 30 s"
    router.services.release("tv")
    assert router.services.versions() == {"vpn": "1.0.0"}
    assert router.told()["tv"] == ("1.0.0", "failed", "it did not call ready within 30 s")


def test_a_pull_is_over_while_it_hangs(hanging, operator):
    over = []
    operator.subscribe("vpn")
    hanging.rollout.settle(done=lambda: over.append(True))
    assert over == [True]


def test_what_is_sold_meanwhile_is_carried_out(hanging, operator):
    operator.subscribe("vpn")
    hanging.pull()
    assert hanging.told()["vpn"] == ("1.0.0", "running", None)
    assert hanging.services.log == [("start", "tv", "1.0.0"), ("start", "vpn", "1.0.0")], "tv was not started anew"
    hanging.services.release("tv")
    assert hanging.told()["tv"] == ("1.0.0", "running", None)


def test_what_is_configured_and_ends_meanwhile_does_so(hanging, operator):
    operator.subscribe("vpn", config={"a": 1})
    operator.subscribe("game")
    hanging.pull()
    operator.configure("vpn", config={"a": 2})
    operator.unsubscribe("game")
    hanging.pull()
    assert hanging.services.configs() == {"tv": {"rate": 1}, "vpn": {"a": 2}}


def test_the_one_that_hangs_may_be_withdrawn(hanging, operator):
    operator.unsubscribe("tv")
    hanging.pull()
    assert hanging.services.versions() == {}
    assert hanging.installer.installed() == {}
    assert hanging.told() == {}


def test_a_better_version_takes_its_place_at_once(hanging, operator):
    operator.subscribe("tv", "1.0.1")
    hanging.services.slow.clear()
    hanging.pull()
    assert hanging.told()["tv"] == ("1.0.1", "running", None)


def test_a_better_configuration_starts_it_anew(hanging, operator):
    operator.configure("tv", config={"rate": 2})
    hanging.services.slow.clear()
    hanging.clear()
    hanging.pull()
    assert hanging.log == [("start", "tv", "1.0.0")], "without another installation"
    assert hanging.services.configs() == {"tv": {"rate": 2}}


def test_an_end_that_was_set_meanwhile_counts(hanging, operator):
    operator.configure("tv", until=NOW + 100)
    hanging.pull()
    hanging.services.release("tv")
    hanging.restart()
    hanging.loop.advance(100)
    assert hanging.told()["tv"] == ("1.0.0", "ended", None)


def test_a_new_configuration_that_hangs_is_replaced_by_a_newer_one(router, operator):
    router.pull()
    router.services.slow = {"tv"}
    operator.configure("tv", config={"rate": 2})
    router.pull()
    assert router.told()["tv"] == ("1.0.0", "starting", None)
    operator.configure("tv", config={"rate": 3})
    router.clear()
    router.pull()
    assert router.log == [("reconfigure", "tv", {"rate": 3})]
    router.services.release("tv")
    assert router.told()["tv"] == ("1.0.0", "running", None)
    assert router.services.configs() == {"tv": {"rate": 3}}


def test_one_that_failed_before_and_hangs_at_its_next_try_keeps_no_purchase(router, operator):
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    router.services.slow = {"tv"}
    operator.serial += 1
    router.pull(eager=True)
    operator.subscribe("vpn")
    router.pull()
    assert router.told() == {"tv": ("1.0.0", "starting", None), "vpn": ("1.0.0", "running", None)}


def test_a_pass_ends_on_time_while_another_service_hangs(router, operator):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    operator.subscribe("vpn")
    router.services.slow = {"vpn"}
    router.pull()
    router.loop.advance(99)
    assert "tv" in router.services.versions()
    router.loop.advance(1)
    assert "tv" not in router.services.versions()
    assert router.told()["tv"] == ("1.0.0", "ended", None)


def test_a_pass_ends_on_time_while_the_package_manager_waits_for_another(router, operator, monkeypatch):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    waiting = []
    operator.subscribe("vpn")
    with monkeypatch.context() as patch:
        patch.setattr(router.installer, "install", lambda packages, done: waiting.append(done))
        router.pull()
    router.loop.advance(101)
    assert router.services.versions() == {}
    waiting.pop()({})
    router.loop.advance(1)
    assert router.installer.installed() == {"isdf-service-vpn": "1.0.0"}
    assert router.told()["tv"] == ("1.0.0", "ended", None)


def test_a_pass_that_ends_while_its_own_service_hangs_leaves_nothing(router, operator):
    operator.configure("tv", until=NOW + 10)
    router.services.slow = {"tv"}
    router.pull()
    router.loop.advance(10)
    assert router.services.versions() == {}
    assert router.installer.installed() == {}
    assert router.told()["tv"] == ("1.0.0", "ended", None)


@pytest.mark.parametrize("reboot", [False, True])
def test_a_restart_while_it_hangs_starts_it_anew_and_others_are_left_alone(hanging, operator, reboot):
    operator.subscribe("vpn")
    hanging.pull()
    hanging.services.held.clear()
    hanging.services.slow.clear()
    hanging.clear()
    hanging.restart(reboot=reboot)
    starts = {("start", "tv", "1.0.0"), *({("start", "vpn", "1.0.0")} if reboot else ())}
    assert set(hanging.log) == starts
    assert hanging.told() == {"tv": ("1.0.0", "running", None), "vpn": ("1.0.0", "running", None)}


@pytest.mark.parametrize("reboot", [False, True])
def test_a_restart_while_an_upgrade_hangs_leads_to_the_upgrade_or_back(router, operator, reboot):
    router.pull()
    router.services.slow = {"tv"}
    operator.subscribe("tv", "1.1.0")
    router.pull()
    router.services.held.clear()
    router.services.slow.clear()
    router.services.broken["tv", "1.1.0"] = "no"
    router.restart(reboot=reboot)
    assert router.services.versions() == {"tv": "1.0.0"}
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}


def test_the_way_back_may_hang_too(router, operator):
    router.pull()
    router.services.slow = {"tv"}
    operator.subscribe("tv", "1.1.0")
    router.services.broken["tv", "1.1.0"] = "no"
    router.pull()
    router.services.release("tv")
    assert router.told()["tv"] == ("1.0.0", "starting", None)
    operator.subscribe("vpn")
    router.pull()
    assert router.told()["vpn"] == ("1.0.0", "running", None)
    router.services.release("tv")
    assert router.told()["tv"] == ("1.0.0", "running", "1.1.0 does not start, 1.0.0 runs on: no")


def test_one_that_fails_while_another_is_taken_back_is_taken_back_too(tmp_path, monkeypatch):
    operator = Operator()
    for name in ("a", "b"):
        operator.subscribe(name)
    router = Router(tmp_path, operator)
    router.services.slow = {"a", "b"}
    router.services.broken = {("a", "1.0.0"): "no", ("b", "1.0.0"): "no"}
    router.pull()
    ended = []
    monkeypatch.setattr(router.services, "stop", lambda name, done: ended.append(done))
    router.services.release("a")
    router.services.release("b")
    monkeypatch.undo()
    ended.pop()(None)
    assert router.installer.installed() == {}


def test_the_steps_of_a_start_are_noted_with_the_pull_that_brought_it(hanging, operator):
    first, second = [], []
    hanging.services.release("tv")
    hanging.rollout.mark = first.append
    operator.subscribe("tv", "1.1.0")
    hanging.pull()
    hanging.rollout.mark = second.append
    operator.subscribe("vpn")
    hanging.pull()
    hanging.services.release("tv")
    assert first == ["installed", "started", "ready"]
    assert second == ["installed", "started", "ready"]


def test_all_that_hang_at_once_are_each_on_their_own(tmp_path):
    operator = Operator()
    names = [f"s{n}" for n in range(5)]
    for name in names:
        operator.subscribe(name)
    router = Router(tmp_path, operator)
    router.services.slow = set(names)
    router.pull()
    for number, name in enumerate(reversed(names), 1):
        router.services.release(name)
        assert sum(state == "running" for _, state, _ in router.told().values()) == number
