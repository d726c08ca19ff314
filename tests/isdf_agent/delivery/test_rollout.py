"""From an assignment to services that run: what is done, what is left alone, and the way back."""

import pytest
from fakes import Router
from simulator import NOW, Operator

from isdf_agent.delivery.retries import Retries


@pytest.fixture
def operator():
    operator = Operator()
    operator.subscribe("tv", config={"rate": 1})
    return operator


@pytest.fixture
def router(tmp_path, operator):
    return Router(tmp_path, operator)


def report(router):
    return {line["name"]: (line["version"], line["state"], line["error"]) for line in router.rollout.report()[1]}


def test_a_first_service_is_installed_and_started(router):
    router.pull()
    assert router.log == [("install", "isdf-service-tv", "1.0.0"), ("start", "tv", "1.0.0")]
    assert router.services.configs() == {"tv": {"rate": 1}}
    assert report(router) == {"tv": ("1.0.0", "running", None)}
    assert router.rollout.report()[0] is True


def test_the_same_assignment_again_changes_nothing_and_writes_nothing(router):
    router.pull()
    router.clear()
    writes = router.journal.writes
    router.pull()
    assert router.log == []
    assert router.journal.writes == writes


def test_an_assignment_signed_anew_costs_one_write(router, operator):
    router.pull()
    router.clear()
    writes = router.journal.writes
    operator.serial += 1
    router.pull()
    assert router.log == []
    assert router.journal.writes == writes + 1


def test_a_new_configuration_is_handed_over_without_install_or_restart(router, operator):
    router.pull()
    router.clear()
    operator.configure("tv", config={"rate": 2})
    router.pull()
    assert router.log == [("reconfigure", "tv", {"rate": 2})]


def test_a_new_version_replaces_the_old_one_without_a_stop_between(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")
    router.pull()
    assert router.log == [("install", "isdf-service-tv", "1.1.0"), ("start", "tv", "1.1.0")]


def test_a_service_that_is_not_assigned_any_more_is_stopped_and_removed_and_nothing_else(router, operator):
    operator.subscribe("vpn")
    router.pull()
    router.clear()
    operator.unsubscribe("tv")
    router.pull()
    assert router.log == [("remove", "isdf-service-tv"), ("stop", "tv")]
    assert not any("isdf-service-tv_" in file for file in router.files())


def test_a_first_version_that_does_not_start_is_removed_again_and_others_go_on(router, operator):
    operator.subscribe("vpn")
    router.services.broken["tv", "1.0.0"] = "the process ended with status 1"
    router.pull()
    assert router.services.versions() == {"vpn": "1.0.0"}
    assert router.installer.installed() == {"isdf-service-vpn": "1.0.0"}
    assert report(router)["tv"] == ("1.0.0", "failed", "the process ended with status 1")
    assert router.rollout.report()[0] is False


def test_a_new_version_that_does_not_start_gives_way_to_the_one_before_without_a_network(router, operator):
    router.pull()
    operator.subscribe("tv", "1.1.0", config={"rate": 9})
    router.services.broken["tv", "1.1.0"] = "it did not call ready within 30 s"
    router.pull()
    assert router.services.running == {"tv": ("1.0.0", {"rate": 1})}
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}
    version, state, error = report(router)["tv"]
    assert (version, state) == ("1.0.0", "running")
    assert error == "1.1.0 does not start, 1.0.0 runs on: it did not call ready within 30 s"


def test_a_package_that_opkg_does_not_install_leaves_the_running_service_alone(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")
    router.installer.refuse["isdf-service-tv", "1.1.0"] = "no space left"
    router.pull()
    assert router.services.log == []
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}
    assert "no space left" in report(router)["tv"][2]


def test_a_configuration_that_the_service_cannot_take_leaves_the_one_before(router, operator):
    router.pull()
    operator.configure("tv", config={"rate": "everything"})
    router.services.broken["tv", "{'rate': 'everything'}"] = "the line has 50 kB/s left"
    router.pull()
    assert router.services.configs() == {"tv": {"rate": 1}}
    assert report(router)["tv"] == ("1.0.0", "running", "the line has 50 kB/s left")


def test_what_failed_is_not_tried_again_by_the_next_pull_but_when_its_time_comes(router, operator):
    router.services.broken["tv", "1.0.0"] = "its server does not answer"
    router.pull()
    router.clear()
    router.pull(eager=False)
    assert router.log == []
    router.services.broken.clear()
    router.loop.advance(Retries.FIRST)
    assert router.services.versions() == {"tv": "1.0.0"}
    assert report(router)["tv"] == ("1.0.0", "running", None)


def test_what_fails_again_and_again_is_tried_less_and_less(router):
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    starts = []
    for _ in range(8):
        router.clear()
        router.loop.advance(86400)
        starts.append(router.services.log.count(("start", "tv", "1.0.0")))
    assert starts[0] > starts[-1] == 1


def test_a_push_tries_again_at_once(router, operator):
    router.services.broken["tv", "1.0.0"] = "its server does not answer"
    router.pull()
    router.services.broken.clear()
    operator.serial += 1
    router.pull(eager=True)
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_failed_version_is_not_tried_first_after_a_reboot(router, operator):
    router.pull()
    operator.subscribe("tv", "1.1.0")
    router.services.broken["tv", "1.1.0"] = "no"
    router.pull()
    router.clear()
    router.restart(reboot=True)
    assert router.log == [("start", "tv", "1.0.0")]


def test_a_service_that_was_ready_and_is_given_up_is_reported_and_started_again_later(router):
    router.pull()
    router.services.on_failure = router.rollout.gave_up
    router.services.on_failure("tv", "the process was ended by signal 9")
    assert report(router)["tv"][2] == "the process was ended by signal 9"
    router.clear()
    router.loop.advance(Retries.FIRST)
    assert router.log == [("start", "tv", "1.0.0")]
    assert report(router)["tv"] == ("1.0.0", "running", None)


def test_after_a_reboot_what_ran_runs_again_from_flash(router):
    router.pull()
    router.clear()
    router.restart(reboot=True)
    assert router.log == [("start", "tv", "1.0.0")]


def test_after_a_restart_of_the_agent_nothing_is_touched(router):
    router.pull()
    router.clear()
    router.restart()
    assert router.log == []


def test_a_package_that_a_user_removed_is_installed_again_from_flash(router):
    router.pull()
    router.installer.there.clear()
    router.services.running.clear()
    router.rollout.settle()
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_package_that_is_nowhere_is_left_to_the_next_pull(router):
    router.pull(staged={})
    assert router.log == []
    assert router.rollout.missing == {router.operator.entries["tv"].sha256}
    assert report(router)["tv"] == ("1.0.0", "failed", "it is not installed yet")


def test_one_service_that_hangs_does_not_keep_the_others_waiting(router, operator):
    operator.subscribe("vpn")
    router.services.slow = {"tv"}
    router.pull()
    assert router.services.versions() == {"tv": "1.0.0", "vpn": "1.0.0"}
    router.services.broken["tv", "1.0.0"] = "it did not call ready within 30 s"
    router.services.release("tv")
    assert router.services.versions() == {"vpn": "1.0.0"}


def test_a_service_that_is_lost_track_of_keeps_the_others_waiting_for_minutes_and_not_for_ever(router, operator):
    router.services.slow = {"tv"}
    router.pull()
    operator.subscribe("vpn")
    router.pull()
    router.loop.advance(router.rollout.PATIENCE)
    assert router.services.versions()["vpn"] == "1.0.0"
    assert "nothing was heard of it" in report(router)["tv"][2]


def test_the_words_of_a_service_are_cut_and_cleaned_for_the_report(router):
    router.services.broken["tv", "1.0.0"] = "x" * 5000 + "\x1b[31m\nlast line"
    router.pull()
    error = report(router)["tv"][2]
    assert len(error) == 2048
    assert error.endswith("x [31m last line")


def test_what_is_asked_during_a_settle_comes_after_it(router, operator):
    router.services.slow = {"tv"}
    router.pull()
    operator.unsubscribe("tv")
    router.pull()
    assert router.services.versions() == {"tv": "1.0.0"}
    router.services.release("tv")
    assert router.services.versions() == {}


def test_a_full_flash_changes_nothing_that_runs(router, operator, monkeypatch):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isdf_agent.delivery.journal.os.fsync", full)
    router.pull()
    assert router.log == []
    assert report(router)["tv"] == (
        "1.0.0", "running", "the router's flash could not be written: No space left on device"
    )  # fmt: skip
    monkeypatch.undo()
    router.pull()
    assert router.services.versions() == {"tv": "1.1.0"}


def test_a_fault_in_the_agent_itself_fails_the_service_and_not_delivery(router, operator, monkeypatch):
    monkeypatch.setattr(router.installer, "install", lambda packages, done: 1 / 0)
    router.pull()
    assert report(router)["tv"] == ("1.0.0", "failed", "a fault in the agent: ZeroDivisionError('division by zero')")
    monkeypatch.undo()
    operator.subscribe("vpn")
    router.pull()
    assert router.services.versions() == {"tv": "1.0.0", "vpn": "1.0.0"}


# -- passes and time


def test_a_pass_ends_by_itself(router, operator):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    router.loop.advance(99)
    assert router.services.versions() == {"tv": "1.0.0"}
    router.loop.advance(1)
    assert router.services.versions() == {}
    assert router.installer.installed() == {}
    assert report(router)["tv"] == ("1.0.0", "ended", None)


def test_a_pass_ends_on_time_while_another_service_hangs_at_its_start(router, operator):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    router.loop.advance(90)
    operator.subscribe("vpn")
    router.services.slow = {"vpn"}
    router.pull()
    router.loop.advance(9)
    assert "tv" in router.services.versions()
    router.loop.advance(1)
    assert "tv" not in router.services.versions()
    router.services.release("vpn")
    assert router.installer.installed() == {"isdf-service-vpn": "1.0.0"}
    assert report(router)["tv"] == ("1.0.0", "ended", None)


def test_a_pass_that_ends_while_its_own_service_hangs_leaves_nothing(router, operator):
    operator.configure("tv", until=NOW + 10)
    router.services.slow = {"tv"}
    router.services.broken["tv", "1.0.0"] = "it was stopped"
    router.pull()
    router.loop.advance(10)
    assert router.services.versions() == {}
    router.services.release("tv")
    router.loop.advance(0)
    assert router.installer.installed() == {}
    assert report(router)["tv"] == ("1.0.0", "ended", None)


def test_a_pass_that_begins_later_is_fetched_now_and_started_then_without_a_network(router, operator):
    operator.configure("tv", since=NOW + 3600, until=NOW + 7200)
    router.pull()
    assert router.services.versions() == {}
    assert report(router)["tv"] == ("1.0.0", "waiting", None)
    router.loop.advance(3600)
    assert router.services.versions() == {"tv": "1.0.0"}
    router.loop.advance(3600)
    assert router.services.versions() == {}


@pytest.mark.parametrize("skew", [-1e9, -7200, -50])
def test_a_clock_that_was_set_back_makes_no_pass_longer(router, operator, skew):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    router.loop.advance(50)
    router.loop.skew = skew
    router.loop.advance(51)
    assert router.services.versions() == {}


def test_a_clock_that_is_set_ahead_ends_a_pass_within_a_minute(router, operator):
    operator.configure("tv", until=NOW + 7200)
    router.pull()
    router.loop.skew = 7200
    router.loop.advance(60)
    assert router.services.versions() == {}


def test_what_a_forged_clock_ended_comes_back_with_the_next_pull(router, operator):
    operator.configure("tv", until=NOW + 7200)
    router.pull()
    router.loop.skew = 11 * 365 * 86400
    router.loop.advance(60)
    assert router.services.versions() == {}
    router.loop.skew = 0
    router.pull()
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_pass_ends_after_a_reboot_with_a_clock_at_1970_and_no_network(router, operator):
    operator.configure("tv", until=NOW + 3 * 3600)
    router.pull()
    router.loop.advance(2 * 3600)
    router.loop.skew = -NOW
    router.restart(reboot=True)
    assert router.services.versions() == {"tv": "1.0.0"}
    router.loop.advance(3600 + 120)
    assert router.services.versions() == {}


def test_services_without_an_end_go_on_for_a_fortnight_after_their_assignment_expired(router, operator):
    router.pull()
    router.loop.advance(7 * 86400 + 13 * 86400)
    assert router.services.versions() == {"tv": "1.0.0"}
    router.loop.advance(1 * 86400)
    assert router.services.versions() == {}


def test_an_hour_of_a_pass_costs_the_flash_one_write(router, operator):
    operator.configure("tv", until=NOW + 86400)
    router.pull()
    writes = router.journal.writes
    router.loop.advance(10 * 3600)
    assert router.journal.writes - writes <= 10
