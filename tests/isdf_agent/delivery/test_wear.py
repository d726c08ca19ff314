"""What the flash gets, counted by the journal: each file that was written, its bytes, and each one that was removed.

A day here is a day of the router's own clock: every timer that falls into it runs, every half hour a pull brings the
assignment that is there already, and every three and a half days one that was signed anew.
"""

import pytest
from simulator import NOW

pytestmark = pytest.mark.system

DAY = 86400
WEEK = 7 * DAY
HALF_LIFE = 7 * DAY // 2


def idle(router, operator, seconds):
    """Let time pass; the writes and bytes of it."""
    writes, written = router.journal.writes, router.journal.written
    for second in range(1800, seconds + 1, 1800):
        router.loop.advance(1800)
        if second % HALF_LIFE == 0:
            operator.issued += HALF_LIFE
            operator.expires += HALF_LIFE
            operator.serial += 1
            router.pull(eager=False)
        else:
            router.rollout.settle()
    return router.journal.writes - writes, router.journal.written - written


@pytest.fixture
def idling(router):
    """Its service has shown that it stays up."""
    router.pull()
    router.loop.advance(3600)
    return router


def test_a_day_idle_with_an_open_pass_costs_less_than_24_writes_and_100_kb(idling, operator):
    operator.subscribe("vpn", until=NOW + 30 * DAY)
    idling.pull()
    idling.loop.advance(3600)
    writes, written = idle(idling, operator, 2 * WEEK)
    assert writes / 14 <= 24
    assert written / 14 <= 100_000
    assert idling.services.versions() == {"tv": "1.0.0", "vpn": "1.0.0"}


def test_without_a_pass_there_is_nothing_to_write_but_new_assignments(idling, operator):
    assert idle(idling, operator, 2 * WEEK)[0] == 4


def test_a_failed_service_costs_little(idling, operator):
    operator.subscribe("vpn")
    idling.services.broken["vpn", "1.0.0"] = "no"
    idling.pull()
    first, _ = idle(idling, operator, DAY)
    assert first <= 24
    writes, _ = idle(idling, operator, 2 * WEEK)
    assert writes / 14 <= 5


def test_a_service_that_comes_up_and_crashes_costs_little(idling, operator):
    operator.subscribe("tv", "1.1.0")
    idling.pull()
    writes = idling.journal.writes
    for _ in range(14 * 24):
        if idling.services.versions() == {"tv": "1.1.0"}:
            idling.services.give_up("tv", "it crashed")
        idling.loop.advance(3600)
    assert (idling.journal.writes - writes) / 14 <= 10


def test_a_service_that_hangs_and_one_that_was_stopped_cost_nothing(idling, operator):
    operator.subscribe("vpn")
    operator.subscribe("game")
    idling.services.slow = {"vpn"}
    idling.pull()
    idling.rollout.hold("game", lambda error: None)
    idling.loop.advance(3600)
    assert idle(idling, operator, DAY) == (0, 0)


@pytest.mark.parametrize(
    ("change", "most"),
    [("configuration", 3), ("version", 6), ("first", 5), ("end", 3), ("renewal", 1)],
)
def test_a_change_costs_a_handful_of_writes(idling, operator, change, most):
    match change:
        case "configuration":
            operator.configure("tv", config={"rate": 2})
        case "version":
            operator.subscribe("tv", "1.1.0")
        case "first":
            operator.subscribe("vpn")
        case "end":
            operator.unsubscribe("tv")
        case "renewal":
            operator.serial += 1
    writes = idling.journal.writes
    idling.pull()
    idling.loop.advance(3600)
    assert idling.journal.writes - writes <= most
