"""What does not start gives way to what was ready before; it is tried again, less and less often."""

import pytest
from fakes import Router
from simulator import NOW

from isdf_agent.delivery.retries import Retries
from isdf_agent.delivery.trials import Trials

CRASHED = "the process ended with status 7"


def test_a_first_version_that_does_not_start_is_removed_again_and_others_go_on(router, operator):
    operator.subscribe("vpn")
    router.services.broken["tv", "1.0.0"] = "the process ended with status 1"
    router.pull()
    assert router.services.versions() == {"vpn": "1.0.0"}
    assert router.installer.installed() == {"isdf-service-vpn": "1.0.0"}
    assert router.told()["tv"] == ("1.0.0", "failed", "the process ended with status 1")
    assert router.rollout.report()[0] is False


def test_what_does_not_start_was_never_ready(router):
    steps = []
    router.rollout.mark = steps.append
    router.services.broken["tv", "1.0.0"] = "the process ended with status 1"
    router.pull()
    assert steps == ["installed", "started", "ended"]


def test_a_new_version_that_does_not_start_gives_way_to_the_one_before_without_a_network(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0", config={"rate": 9})
    router.services.broken["tv", "1.1.0"] = "it did not call ready within 30 s"
    router.pull()
    assert router.services.running == {"tv": ("1.0.0", {"rate": 1})}
    assert router.services.log == [("start", "tv", "1.1.0"), ("start", "tv", "1.0.0")], "without a stop between"
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}
    error = "1.1.0 does not start, 1.0.0 runs on: it did not call ready within 30 s"
    assert router.told()["tv"] == ("1.0.0", "running", error)


def test_where_the_version_before_does_not_start_either_both_are_told_of(router, operator):
    router.pull()
    operator.subscribe("tv", "1.1.0")
    router.services.broken |= {("tv", "1.1.0"): "no", ("tv", "1.0.0"): "not any more"}
    router.pull()
    assert router.services.versions() == {}
    assert router.told()["tv"] == ("1.1.0", "failed", "1.1.0 does not start: no; nor does 1.0.0 again: not any more")
    router.services.broken = {("tv", "1.1.0"): "no"}
    router.loop.advance(Retries.FIRST)
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_package_that_opkg_does_not_install_leaves_the_running_service_alone(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")
    router.installer.refuse["isdf-service-tv", "1.1.0"] = "no space left"
    router.pull()
    assert router.services.log == []
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}
    assert "no space left" in router.told()["tv"][2]


def test_a_configuration_that_the_service_cannot_take_leaves_the_one_before(router, operator):
    router.pull()
    operator.configure("tv", config={"rate": "everything"})
    router.services.broken["tv", "{'rate': 'everything'}"] = "the line has 50 kB/s left"
    router.pull()
    assert router.services.configs() == {"tv": {"rate": 1}}
    assert router.told()["tv"] == ("1.0.0", "running", "the line has 50 kB/s left")


def test_what_failed_is_not_tried_again_by_the_next_pull_but_when_its_time_comes(router, operator):
    router.services.broken["tv", "1.0.0"] = "its server does not answer"
    router.pull()
    router.clear()
    router.pull(eager=False)
    assert router.log == []
    router.services.broken.clear()
    router.loop.advance(Retries.FIRST)
    assert router.services.versions() == {"tv": "1.0.0"}
    assert router.told()["tv"] == ("1.0.0", "running", None)


def test_what_fails_again_and_again_is_tried_less_and_less(router):
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    starts = []
    for _ in range(8):
        router.clear()
        router.loop.advance(86400)
        starts.append(router.services.log.count(("start", "tv", "1.0.0")))
    assert starts[0] > starts[-1] == 1


def test_a_failed_service_whose_time_is_over_is_not_tried_for_ever(router, operator):
    operator.configure("tv", until=NOW + 60)
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    router.loop.advance(60)
    router.clear()
    router.loop.advance(2 * Retries.FIRST)
    assert router.log == []


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


def test_a_version_that_does_not_start_after_a_reboot_is_ended_and_tried_again(router):
    router.pull()
    router.services.broken["tv", "1.0.0"] = "it did not call ready within 30 s"
    router.restart(reboot=True)
    assert router.services.versions() == {}, "it may hang"
    assert router.installer.installed() == {"isdf-service-tv": "1.0.0"}
    assert router.told()["tv"] == ("1.0.0", "failed", "it did not call ready within 30 s")
    router.services.broken.clear()
    router.loop.advance(Retries.FIRST)
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_service_that_was_ready_and_is_given_up_is_reported_and_started_again_later(router):
    router.pull()
    router.services.give_up("tv", "the process was ended by signal 9")
    assert router.told()["tv"] == ("1.0.0", "failed", "the process was ended by signal 9")
    router.clear()
    router.loop.advance(Retries.FIRST)
    assert router.log == [("start", "tv", "1.0.0")]
    assert router.told()["tv"] == ("1.0.0", "running", None)


def test_a_service_that_comes_up_and_crashes_again_and_again_is_started_less_and_less(router):
    router.pull()
    starts = 0
    for _ in range(7 * 24 * 6):
        if "tv" in router.services.running:
            starts += 1
            router.services.give_up("tv", CRASHED)
        router.loop.advance(600)
    assert starts < 20


# -- an upgrade that comes up and does not stay up


@pytest.fixture
def upgraded(router, operator):
    """The version 1.1.0, with another configuration, was ready and is on trial."""
    router.pull()
    operator.subscribe("tv", "1.1.0", config={"rate": 9})
    router.pull()
    assert router.services.running == {"tv": ("1.1.0", {"rate": 9})}
    return router


def packages(router):
    return sum("packages/isdf-service-tv" in name for name in router.files())


def test_an_upgrade_that_crashes_again_and_again_gives_way_to_the_version_before(upgraded):
    upgraded.loop.advance(Trials.STAYS - 1)
    upgraded.services.give_up("tv", CRASHED)
    assert upgraded.services.running == {"tv": ("1.0.0", {"rate": 1})}
    assert upgraded.told()["tv"] == ("1.0.0", "running", f"1.1.0 does not stay up, 1.0.0 runs on: {CRASHED}")
    assert upgraded.rollout.report()[0] is False


def test_one_that_crashes_later_has_nothing_to_give_way_to(upgraded):
    assert packages(upgraded) == 2
    upgraded.loop.advance(Trials.STAYS)
    assert packages(upgraded) == 1
    upgraded.services.give_up("tv", CRASHED)
    assert upgraded.told()["tv"] == ("1.1.0", "failed", CRASHED)


@pytest.mark.parametrize("reboot", [False, True])
def test_the_trial_goes_on_after_a_restart(upgraded, reboot):
    upgraded.restart(reboot=reboot)
    assert upgraded.services.versions() == {"tv": "1.1.0"}
    upgraded.services.give_up("tv", CRASHED)
    assert upgraded.services.running == {"tv": ("1.0.0", {"rate": 1})}
    upgraded.restart(reboot=reboot)
    assert upgraded.services.running == {"tv": ("1.0.0", {"rate": 1})}


def test_it_is_tried_again_less_and_less_and_by_a_push(upgraded, operator):
    starts = []
    for day in range(6):
        upgraded.clear()
        for _ in range(24 * 6):
            if upgraded.services.versions() == {"tv": "1.1.0"}:
                upgraded.services.give_up("tv", CRASHED)
            assert upgraded.services.versions() == {"tv": "1.0.0"}, day
            upgraded.loop.advance(600)
        starts.append(upgraded.services.log.count(("start", "tv", "1.1.0")))
    assert starts[0] > starts[-1] == 1
    operator.serial += 1
    upgraded.pull(eager=True)
    assert upgraded.services.versions() == {"tv": "1.1.0"}


def test_a_configuration_that_lets_it_crash_gives_way_to_the_one_before(router, operator):
    router.pull()
    operator.configure("tv", config={"rate": 2})
    router.pull()
    router.services.give_up("tv", CRASHED)
    assert router.services.running == {"tv": ("1.0.0", {"rate": 1})}
    assert router.told()["tv"] == ("1.0.0", "running", CRASHED)


def test_the_last_version_that_stayed_up_comes_back_after_two_that_did_not(upgraded, operator):
    operator.subscribe("tv", "1.2.0")
    upgraded.pull()
    upgraded.services.give_up("tv", CRASHED)
    assert upgraded.services.versions() == {"tv": "1.0.0"}


def test_a_third_version_ends_the_trial_of_the_second(upgraded, operator):
    upgraded.services.give_up("tv", CRASHED)
    operator.subscribe("tv", "1.2.0")
    upgraded.pull()
    assert upgraded.told()["tv"] == ("1.2.0", "running", None)
    upgraded.loop.advance(Trials.STAYS)
    assert packages(upgraded) == 1


def test_where_nothing_stays_up_nothing_flaps(upgraded):
    upgraded.services.give_up("tv", CRASHED)
    upgraded.services.give_up("tv", "nor did this")
    assert upgraded.services.versions() == {}
    words = f"1.1.0 does not stay up: {CRASHED}; nor does 1.0.0 again: nor did this"
    assert upgraded.told()["tv"] == ("1.0.0", "failed", words)
    upgraded.clear()
    upgraded.loop.advance(600)
    assert upgraded.log == []


def test_a_service_that_goes_in_its_trial_leaves_nothing(upgraded, operator):
    operator.unsubscribe("tv")
    upgraded.pull()
    assert packages(upgraded) == 0
    assert Router(upgraded.folder, operator).told() == {}
