"""What runs follows time: passes begin and end without a network, and no wrong clock costs anything for good."""

import pytest
from simulator import NOW

from isdf_agent.delivery.clock import Passes

DAY = 86400
TO_2037 = 11 * 365 * DAY
RUNS = {"tv": "1.0.0"}


def test_a_pass_ends_by_itself(router, operator):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    router.loop.advance(99)
    assert router.services.versions() == RUNS
    router.loop.advance(1)
    assert router.services.versions() == {}
    assert router.installer.installed() == {}
    assert router.told()["tv"] == ("1.0.0", "ended", None)


def test_a_pass_that_begins_later_is_fetched_now_and_started_then_without_a_network(router, operator):
    operator.configure("tv", since=NOW + 3600, until=NOW + 7200)
    router.pull()
    assert router.services.versions() == {}
    assert router.told()["tv"] == ("1.0.0", "waiting", None)
    router.loop.advance(3600)
    assert router.services.versions() == RUNS
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


@pytest.mark.parametrize("reboots", [0, 1, 5])
def test_a_pass_ends_offline_through_reboots_with_a_clock_at_1970(router, operator, reboots):
    operator.configure("tv", until=NOW + 10 * 3600)
    router.pull()
    router.loop.skew = -NOW
    for _ in range(reboots):
        router.loop.advance(3600)
        router.rollout.stop()
        router.restart(reboot=True)
        assert router.services.versions() == RUNS
    router.loop.advance((10 - reboots) * 3600 - 60)
    assert router.services.versions() == RUNS
    router.loop.advance(120)
    assert router.services.versions() == {}


@pytest.mark.parametrize("hours", [24, 1, 0.1])
def test_a_power_cut_makes_no_pass_longer(router, operator, hours):
    """With a clock at 1970, however often the power goes."""
    operator.configure("tv", until=NOW + 2 * DAY)
    router.pull()
    router.loop.skew = -NOW
    ran = 0
    while router.services.versions() == RUNS:
        router.loop.advance(hours * 3600)
        router.restart(reboot=True)
        ran += hours
    assert ran <= 48 + hours


def test_a_power_cut_takes_from_a_pass_no_more_than_what_runs_between_two_saves(router, operator):
    operator.configure("tv", until=NOW + 4 * DAY)
    router.pull()
    router.loop.skew = -NOW
    for _ in range(3):
        router.loop.advance(DAY)
        router.restart(reboot=True)
    router.loop.advance(DAY - 3 * Passes.SAVE - 60)
    assert router.services.versions() == RUNS


def test_a_pass_that_waited_while_the_router_was_off_is_not_longer_for_it(router, operator):
    operator.configure("tv", until=NOW + 3600)
    router.loop.time += 3000
    router.pull()
    router.loop.advance(599)
    assert router.services.versions() == RUNS
    router.loop.advance(1)
    assert router.services.versions() == {}


def test_a_clock_that_is_set_ahead_ends_a_pass_within_a_minute(router, operator):
    operator.configure("tv", until=NOW + 7200)
    router.pull()
    router.loop.skew = 7200
    router.loop.advance(60)
    assert router.services.versions() == {}


# -- a clock that a forged time server set


@pytest.mark.parametrize(
    "fields", [{"until": NOW + 6 * 3600}, {}, {"since": NOW + 3600}], ids=["pass", "endless", "later"]
)
def test_what_a_clock_at_2037_ended_runs_again_when_the_clock_is_right_without_a_network(router, operator, fields):
    operator.configure("tv", **fields)
    router.pull()
    router.loop.advance(3600)
    router.loop.skew = TO_2037
    router.loop.advance(2 * 3600)
    assert router.services.versions() == {}
    router.loop.skew = 0
    router.loop.advance(60)
    assert router.services.versions() == RUNS
    router.loop.advance(3 * 3600 - 61)
    assert router.services.versions() == RUNS
    router.loop.advance(2)
    assert router.services.versions() == ({} if "until" in fields else RUNS)


@pytest.mark.parametrize("fields", [{"until": NOW + 6 * 3600}, {}], ids=["pass", "endless"])
def test_a_manager_that_proved_who_he_is_overrules_such_a_clock(router, operator, fields):
    operator.configure("tv", **fields)
    router.loop.skew = TO_2037
    router.pull()
    assert router.services.versions() == {}
    router.loop.clock.tell(NOW)
    router.pull()
    assert router.services.versions() == RUNS
    router.loop.advance(6 * 3600)
    assert router.services.versions() == ({} if "until" in fields else RUNS)


def test_it_runs_again_after_a_reboot_that_corrects_the_clock(router, operator):
    operator.configure("tv", until=NOW + 6 * 3600)
    router.pull()
    router.loop.skew = TO_2037
    router.loop.advance(3600)
    router.loop.skew = 0
    router.restart(reboot=True)
    assert router.services.versions() == RUNS


def test_it_runs_again_after_a_reboot_into_a_clock_at_1970(router, operator):
    operator.configure("tv", until=NOW + 6 * 3600)
    router.pull()
    router.loop.skew = TO_2037
    router.loop.advance(3600)
    router.rollout.stop()
    router.loop.skew = -NOW
    router.restart(reboot=True)
    assert router.services.versions() == RUNS
    router.loop.advance(5 * 3600 + 60)
    assert router.services.versions() == {}


def test_what_was_sold_while_the_clock_was_wrong_runs_when_it_is_right(router, operator):
    router.loop.skew = TO_2037
    operator.configure("tv", until=NOW + 3600)
    router.pull()
    assert router.services.versions() == {}
    router.loop.skew = 0
    router.loop.advance(60)
    assert router.services.versions() == RUNS


@pytest.mark.parametrize("skew", [5 * 3600, 20 * 3600])
def test_a_clock_that_was_some_hours_ahead_takes_nothing_from_a_pass(router, operator, skew):
    router.loop.skew = skew
    operator.configure("tv", until=NOW + 10 * 3600)
    router.pull()
    router.loop.advance(3600)
    router.loop.skew = 0
    router.loop.advance(8 * 3600)
    assert router.services.versions() == RUNS
    router.loop.advance(3600)
    assert router.services.versions() == {}


def test_a_pass_that_began_early_by_a_wrong_clock_waits_when_it_is_right_and_loses_only_what_it_ran(router, operator):
    operator.configure("tv", since=NOW + 10 * 3600, until=NOW + 20 * 3600)
    router.loop.skew = 12 * 3600
    router.pull()
    assert router.services.versions() == RUNS
    router.loop.advance(3600)
    router.loop.skew = 0
    router.loop.advance(60)
    assert router.told()["tv"] == ("1.0.0", "waiting", None)
    router.loop.advance(9 * 3600)
    assert router.services.versions() == RUNS
    router.loop.advance(9 * 3600 - 180)
    assert router.services.versions() == RUNS


def test_a_new_assignment_goes_on_where_the_clock_is_right_again(router, operator):
    router.pull()
    router.loop.skew = TO_2037
    router.loop.advance(3600)
    router.loop.skew = 0
    operator.issued, operator.expires = NOW + 3600, NOW + 3600 + 7 * DAY
    operator.serial += 1
    router.pull()
    assert router.services.versions() == RUNS


# -- services without an end, and an assignment that expired


@pytest.mark.parametrize("days", [14, 0, 30])
def test_services_without_an_end_go_on_for_their_offline_grace_after_their_assignment_expired(router, operator, days):
    operator.configure("tv", offline_grace=days * DAY)
    router.pull()
    router.loop.advance((7 + days) * DAY - 1)
    assert router.services.versions() == RUNS
    router.loop.advance(1)
    assert router.services.versions() == {}
    assert router.told()["tv"] == ("1.0.0", "ended", None)


def test_each_service_has_its_own_grace(router, operator):
    operator.configure("tv", offline_grace=DAY)
    operator.subscribe("vpn", offline_grace=2 * DAY)
    router.pull()
    router.loop.advance(8 * DAY)
    assert router.services.versions() == {"vpn": "1.0.0"}
    router.loop.advance(DAY)
    assert router.services.versions() == {}


def test_the_next_assignment_brings_them_back(router, operator):
    router.pull()
    router.loop.advance(30 * DAY)
    assert router.services.versions() == {}
    operator.issued, operator.expires = NOW + 30 * DAY, NOW + 37 * DAY
    operator.serial += 1
    router.pull()
    assert router.services.versions() == RUNS
    router.loop.advance(20 * DAY)
    assert router.services.versions() == RUNS


def test_a_pass_does_not_end_with_its_assignment(router, operator):
    operator.configure("tv", until=NOW + 9 * DAY, offline_grace=0)
    router.pull()
    router.loop.advance(8 * DAY)
    assert router.services.versions() == RUNS


def test_a_router_that_never_knows_the_time_grants_no_more_however_often_it_reboots(router, operator):
    operator.configure("tv", offline_grace=DAY)
    router.pull()
    router.loop.skew = -NOW
    for _ in range(8):
        assert router.services.versions() == RUNS
        router.loop.advance(DAY)
        router.rollout.stop()
        router.restart(reboot=True)
    assert router.services.versions() == {}
