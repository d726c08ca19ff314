"""Reports: the log of what failed, and devices that ran ahead of a database that was restored."""

import json
import logging
import shutil

import pytest
import sqlalchemy as sa

from isdf.errors import FormatError
from isdf_manager import limits, publications, reports, storage


@pytest.fixture
def router(manager):
    made = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    made.pull()
    return made


def failed(**more) -> list[dict]:
    told = {"name": "lane", "version": "1.0.0", "state": "failed", "since": 1790000000, "error": "it ended at once"}
    return [told | {"exit": 1, "log": "Traceback:\n  line\tone\nImportError: foo\n"} | more]


def test_the_log_of_a_service_that_failed_is_shown(manager, router):
    router.report(services=failed(), applied=False)
    assert manager.ok("device", "log", "home1", "lane") == (
        "lane 1.0.0 is failed since 2026-09-21 14:13:20Z, exit status 1\nit ended at once\n"
        "Traceback:\n  line one\nImportError: foo\n"
    )


def test_a_first_version_that_did_not_come_up_never_ran(manager, router):
    router.report(services=failed(since=None, exit=None, log=""), applied=False)
    assert manager.ok("device", "log", "home1", "lane") == "lane 1.0.0 failed, it never ran\nit ended at once\n"
    router.report(services=failed(state="waiting", since=None, error=None, exit=None, log=""))
    assert manager.ok("device", "log", "home1", "lane") == "lane 1.0.0 is waiting\n"


def test_a_service_that_runs_has_no_log(manager, router):
    router.report()
    assert manager.ok("device", "log", "home1", "lane").startswith("lane 1.0.0 is running since 20")
    assert "has reported nothing of 'film'" in manager.fails("device", "log", "home1", "film")
    assert "device 'home9' is not known" in manager.fails("device", "log", "home9", "lane")
    manager.ok("device", "add", "home2")
    assert "home2 has reported nothing of 'lane'" in manager.fails("device", "log", "home2", "lane")


def test_a_log_is_bounded_and_does_nothing_to_a_terminal():
    body = {"serial": 1, "applied": False, "services": failed(log="\x1b[2J\x00x" * 1000 + "\r\nend\n", exit=-11)}
    told = reports.parse(json.dumps(body).encode())["services"][0]
    assert len(told["log"]) == 2048
    assert told["log"].endswith(" \nend\n")
    assert told["exit"] == -11
    assert not set(told["log"]) & set("\x1b\x00\r")


@pytest.mark.parametrize("wrong", [{"log": 1}, {"log": ["x"]}, {"exit": "1"}, {"exit": True}, {"exit": 2**40}])
def test_what_is_no_log_and_no_exit_status_is_refused(wrong):
    body = {"serial": 1, "applied": False, "services": failed(**wrong)}
    with pytest.raises(FormatError):
        reports.parse(json.dumps(body).encode())


def restored(manager, router) -> int:
    """Yesterday's database, and the serial that the router has."""
    copy = manager.folder / "yesterday.db"
    manager.ok("backup", copy)
    manager.ok("configure", "home1", "lane", "rate=2mbit", "--no-push")
    assert router.pull()
    router.report()
    for part in manager.applications:
        part.close()
    for file in manager.path.glob("manager.db*"):
        file.unlink()
    shutil.copy(copy, manager.path / "manager.db")
    router.client = manager.client()
    return router.assignment.serial


def test_a_device_that_ran_ahead_of_a_restored_manager_is_named_and_heard(manager, router, caplog):
    serial = restored(manager, router)
    answer = router.request("GET", "/device/home1/assignment")
    assert str(serial).encode() not in answer.data  # the router refuses what is older, and says so
    refused = {"type": "refused", "title": "", "detail": "the serial is older"}
    with caplog.at_level(logging.WARNING):
        router.report(applied=False, error=refused)
        router.report(applied=False, error=refused)
    assert caplog.text.count("home1 ran ahead of this database: it has an assignment of ") == 1
    assert "ran ahead of this database" in manager.ok("status")
    assert manager.ok("audit").count("  ahead  home1  ") == 1
    assert json.loads(manager.ok("status", "--json"))["devices"][0]["ahead"] == serial
    assert router.pull()
    assert router.assignment.serial > serial
    assert router.runs() == {"lane": {"rate": "1mbit"}}
    router.report()
    assert "ahead" not in manager.ok("status")


def test_what_is_sold_after_it_is_heard_though_the_clock_stands_before(world):
    serial = world.assigned().serial + 10**8
    body = {"serial": serial, "applied": True}
    with world.store.write() as connection:
        told = reports.parse(json.dumps(body).encode())
        reports.store(connection, "home1", told, "192.0.2.1", world.clock(), limits.Limits().notices)
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    assert world.assigned().serial == serial + 1


def test_a_router_that_lies_about_its_serial_harms_nobody_and_stays_heard(manager, router):
    assert router.report(serial=2**53 - 1).status_code == 204
    for rate in ("2mbit", "3mbit"):
        manager.ok("configure", "home1", "lane", f"rate={rate}", "--no-push")
        assert router.pull()
        assert router.runs() == {"lane": {"rate": rate}}


@pytest.mark.parametrize("serial", [publications.MAX_REPORTED + 1, 2**52, 2**53 - 1])
def test_a_serial_that_none_can_exceed_is_told_with_what_helps(manager, router, caplog, serial):
    """Who has stolen the assignment key has used up the serials; only what another key signs is heard."""
    with caplog.at_level(logging.WARNING):
        assert router.report(serial=serial).status_code == 204
    for told in (caplog.text, manager.ok("status")):
        assert f"an assignment of serial {serial}, which this manager never makes" in told
        assert "isdf-manager keys rotate assignment" in told
        assert "its next pull" not in told
    manager.ok("keys", "rotate", "assignment")
    assert router.pull()
    router.report()
    assert "never makes" not in manager.ok("status")


def test_the_highest_serial_that_can_be_exceeded_is(manager, router):
    router.report(serial=publications.MAX_REPORTED)
    assert "ran ahead of this database: it has an assignment of 9998-12-31" in manager.ok("status")
    assert router.pull()
    assert router.assignment.serial == publications.MAX_REPORTED + 1


def test_a_router_that_is_ahead_in_ever_other_ways_does_not_fill_the_logs(manager, router, caplog):
    now = router.assignment.serial
    with caplog.at_level(logging.WARNING):
        for number in range(12):
            assert router.report(serial=now + 1000 + number % 2).status_code == 204
    assert manager.ok("audit").count("  ahead  home1  ") == 3
    assert caplog.text.count("ran ahead") == 3
    other = manager.router("home2")
    other.client = router.client
    other.pull()
    other.report(serial=other.assignment.serial + 1)
    assert manager.ok("audit").count("  ahead  home2  ") == 1


@pytest.mark.parametrize("wrong", [{"serial": 2**53}, {"since": 2**52}, {"since": 1e300}])
def test_what_no_calendar_has_is_no_time_of_a_report(wrong):
    body = {"serial": 1, "applied": True, "services": failed()} | wrong
    if "since" in wrong:
        body["services"] = failed(**wrong)
    with pytest.raises(FormatError, match=r"below (253402300800|9007199254740992)"):
        reports.parse(json.dumps(body).encode())


def test_a_time_that_is_kept_and_is_none_stops_no_status(manager, router):
    router.report(services=failed(), applied=False)
    manager.ok("device", "add", "home2")
    table = storage.contact
    store = manager.home.storage(manager.home.config())
    with store.write() as connection:
        report = connection.execute(sa.select(table.c.report).where(table.c.device == "home1")).scalar()
        report["services"][0]["since"], report["serial"] = 2**52, 2**53
        connection.execute(table.update().where(table.c.device == "home1").values(report=report))
    store.close()
    told = manager.ok("status")
    assert "no time" in told
    assert "home2" in told
