"""The customer stops a service: it stays stopped through all that happens, until it is started or sold anew."""

import pytest
from simulator import NOW

from isdf.errors import NotFoundError


@pytest.fixture
def held(router, operator):
    """tv runs, and vpn was stopped by the customer."""
    operator.subscribe("vpn", config={"a": 1}, order="7")
    router.pull()
    results = []
    router.rollout.hold("vpn", results.append)
    assert results == [None]
    router.clear()
    return router


def is_held(router):
    return "vpn" not in router.services.running and router.told()["vpn"][1:] == ("stopped", None)


def test_it_ends_and_stays_installed_and_the_others_run_on(held):
    assert is_held(held)
    assert held.installer.installed() == {"isdf-service-tv": "1.0.0", "isdf-service-vpn": "1.0.0"}
    assert held.services.versions() == {"tv": "1.0.0"}
    assert held.rollout.report()[0] is True


def test_an_upgrade_is_installed_and_not_started(held, operator):
    operator.subscribe("vpn", "1.1.0", config={"a": 1}, order="7")
    held.pull()
    assert held.installer.log == [("install", "isdf-service-vpn", "1.1.0")]
    assert is_held(held)
    assert held.told()["vpn"][0] == "1.1.0"
    held.clear()
    held.pull()
    assert held.log == []


def test_a_new_configuration_does_not_start_it(held, operator):
    operator.configure("vpn", config={"a": 2})
    held.pull()
    assert is_held(held)
    held.rollout.release("vpn", lambda error: None)
    assert held.services.configs()["vpn"] == {"a": 2}


@pytest.mark.parametrize("reboot", [False, True])
def test_a_restart_does_not_start_it(held, reboot):
    held.restart(reboot=reboot)
    assert is_held(held)
    assert ("start", "vpn", "1.0.0") not in held.log


def test_it_is_started_again_by_the_customer(held):
    results = []
    held.rollout.release("vpn", results.append)
    assert results == [None]
    assert held.log == [("start", "vpn", "1.0.0")]
    held.restart(reboot=True)
    assert held.told()["vpn"] == ("1.0.0", "running", None)


def test_who_starts_it_waits_until_it_is_ready_or_is_told_why_not(held):
    held.services.slow = {"vpn"}
    results = []
    held.rollout.release("vpn", results.append)
    assert results == []
    held.services.broken["vpn", "1.0.0"] = "its server does not answer"
    held.services.release("vpn")
    assert results == ["its server does not answer"]


@pytest.mark.parametrize("end", ["stop", "withdrawal"])
def test_who_waits_for_a_service_that_ends_meanwhile_is_told(held, operator, end):
    held.services.slow = {"vpn"}
    results = []
    held.rollout.release("vpn", results.append)
    if end == "stop":
        held.rollout.hold("vpn", results.append)
    else:
        operator.unsubscribe("vpn")
        held.pull()
    assert results[0] == "it was stopped"


def test_one_that_is_sold_anew_runs(held, operator):
    operator.subscribe("vpn", order="8")
    held.pull()
    assert held.told()["vpn"] == ("1.0.0", "running", None)
    operator.configure("vpn", order="7")
    held.pull()
    assert held.told()["vpn"] == ("1.0.0", "running", None), "that was another sale"


def test_it_goes_with_its_end(held, operator):
    operator.configure("vpn", until=NOW + 10)
    held.pull()
    held.loop.advance(10)
    assert held.told()["vpn"] == ("1.0.0", "ended", None)
    assert held.installer.installed() == {"isdf-service-tv": "1.0.0"}


def test_one_that_hangs_at_its_start_may_be_stopped(router):
    router.services.slow = {"tv"}
    router.pull()
    results = []
    router.rollout.hold("tv", results.append)
    assert results == [None]
    assert router.told()["tv"] == ("1.0.0", "stopped", None)
    router.loop.advance(3600)
    assert router.services.running == {}


def test_one_that_failed_may_be_stopped_and_is_not_tried_again(router):
    router.pull()
    router.services.give_up("tv", "it crashed")
    router.rollout.hold("tv", lambda error: None)
    router.loop.advance(86400)
    assert router.services.running == {}


def test_one_that_failed_is_tried_again_by_the_customer(router):
    router.services.broken["tv", "1.0.0"] = "its server does not answer"
    router.pull()
    results = []
    router.rollout.release("tv", results.append)
    router.services.broken.clear()
    router.rollout.release("tv", results.append)
    assert results == ["its server does not answer", None]
    assert router.told()["tv"] == ("1.0.0", "running", None)


def test_one_that_runs_is_started_already(router):
    router.pull()
    router.clear()
    results = []
    router.rollout.release("tv", results.append)
    assert (results, router.log) == ([None], [])


def test_one_whose_time_has_not_come_cannot_be_started(router, operator):
    operator.configure("tv", since=NOW + 100)
    router.pull()
    results = []
    router.rollout.release("tv", results.append)
    assert results == ["it is not its time"]


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_one_that_is_not_sold_is_not_there(router, verb):
    router.pull()
    with pytest.raises(NotFoundError, match="service vpn does not run on this router"):
        getattr(router.rollout, verb)("vpn", lambda error: None)


def test_one_whose_process_cannot_be_ended_is_told_of_and_ended_again(router):
    router.pull()
    router.services.immortal.add("tv")
    results = []
    router.rollout.hold("tv", results.append)
    assert results == ["it could not be ended: procd did not delete it: Timeout"]
    router.services.immortal.clear()
    router.loop.advance(60)
    assert router.services.running == {}
    assert router.told()["tv"] == ("1.0.0", "stopped", None)


def test_a_full_flash_leaves_it_running_rather_than_forgetting_it(router, monkeypatch):
    router.pull()

    def full(*args):
        raise OSError(28, "No space left on device")

    results = []
    with monkeypatch.context() as patch:
        patch.setattr("isdf_agent.delivery.flash.os.fsync", full)
        router.rollout.hold("tv", results.append)
    assert results == ["the router's flash could not be written: No space left on device"]
    assert router.told()["tv"] == ("1.0.0", "running", None)
    router.rollout.settle()
    assert router.told()["tv"] == ("1.0.0", "running", None)
