"""What an agent that comes back finds, and what procd told while it could not be heard."""

import json

import pytest
from supervised import Router

from isdf.formats.assignment import PREFIX


def test_an_agent_that_comes_back_adopts_what_still_runs_and_disturbs_nothing(tmp_path):
    before = Router(tmp_path)
    before.start_and_ready()
    after = Router(tmp_path, procd=before.procd)
    adopted = []
    after.supervisor.adopt(lambda: adopted.append(True))
    assert adopted == [True]
    assert after.supervisor.versions() == {"tv": "1.0.0"}
    assert after.supervisor.listing()["tv"]["since"] == before.supervisor.listing()["tv"]["since"]
    assert after.owners.log == []


def test_an_agent_that_comes_back_forgets_what_ended_meanwhile(tmp_path):
    before = Router(tmp_path)
    before.start_and_ready()
    after = Router(tmp_path)
    after.supervisor.adopt(lambda: None)
    assert after.supervisor.versions() == {}


@pytest.mark.parametrize("note", ["", "[", '{"a": 1}', '[{"name": "tv"}]', "null"])
def test_unreadable_notes_start_the_services_anew(tmp_path, note):
    (tmp_path / "services.json").write_text(note)
    router = Router(tmp_path)
    router.supervisor.adopt(lambda: None)
    assert router.supervisor.versions() == {}
    router.start()
    assert json.loads((tmp_path / "services.json").read_text())[0]["name"] == "tv"


def test_an_agent_that_comes_back_while_procd_is_away_believes_its_notes(tmp_path):
    before = Router(tmp_path)
    before.start_and_ready()
    after = Router(tmp_path, procd=before.procd)
    after.supervisor._procd.list = lambda done: done(None)
    after.supervisor.adopt(lambda: None)
    assert after.supervisor.versions() == {"tv": "1.0.0"}


def test_an_agent_that_comes_back_ends_what_nobody_knows(tmp_path):
    before = Router(tmp_path)
    before.start_and_ready()
    before.start_and_ready(name="vpn")
    notes = tmp_path / "services.json"
    notes.write_text(json.dumps([note for note in json.loads(notes.read_text()) if note["name"] == "tv"]))
    after = Router(tmp_path, procd=before.procd)
    after.supervisor.adopt(lambda: None)
    assert after.supervisor.versions() == {"tv": "1.0.0"}
    assert [*after.procd.instances] == [PREFIX + "tv"]


# -- notifications that were lost


@pytest.fixture
def running(router):
    """tv and vpn run; `told` gets what failed."""
    router.supervisor.adopt(lambda: None)
    router.start_and_ready()
    router.start_and_ready(name="vpn")
    router.told = []
    router.supervisor.on_failure = lambda name, error: router.told.append((name, error))
    return router


def states(router):
    return {name: told["state"] for name, told in router.supervisor.listing().items()}


def test_where_all_is_as_it_was_nothing_is_touched(running):
    log = list(running.owners.log)
    running.supervisor.reconcile()
    assert states(running) == {"tv": "running", "vpn": "running"}
    assert running.owners.log == log


def test_what_procd_gave_up_meanwhile_failed(running):
    running.procd.instances[PREFIX + "tv"] = {"running": False, "exit_code": 139}
    running.supervisor.reconcile()
    assert states(running) == {"tv": "failed", "vpn": "running"}
    words = "the process was ended by signal 11; what it said is in the router's log (logread)"
    assert running.told == [("tv", words)]
    assert running.owners.log[-1] == ("withdraw", "tv")


def test_what_procd_does_not_have_any_more_failed(running):
    del running.procd.instances[PREFIX + "tv"]
    running.supervisor.reconcile()
    assert running.told == [("tv", "procd does not run it any more")]


def test_what_procd_is_about_to_start_again_did_not_fail(running):
    running.procd.instances[PREFIX + "tv"] |= {"running": False, "exit_code": 1}
    running.supervisor.reconcile()
    assert running.told == []
    assert states(running) == {"tv": "running", "vpn": "running"}


def test_a_start_that_procd_gave_up_meanwhile_failed(running):
    running.start("1.1.0")
    running.procd.instances[PREFIX + "tv"] = {"running": False, "exit_code": 3}
    running.supervisor.reconcile()
    assert running.results[-1] == "the process ended with status 3; what it said is in the router's log (logread)"
    assert running.told == []


def test_a_process_that_should_not_be_there_is_ended(running):
    running.procd.instances[PREFIX + "game"] = {"running": True}
    running.supervisor.reconcile()
    assert sorted(running.procd.instances) == [PREFIX + "tv", PREFIX + "vpn"]


def test_a_process_that_the_customer_stopped_is_ended(running):
    shown = running.procd.instances[PREFIX + "tv"]
    running.hold()
    running.procd.instances[PREFIX + "tv"] = shown
    running.supervisor.reconcile()
    assert [*running.procd.instances] == [PREFIX + "vpn"]
    assert states(running) == {"tv": "stopped", "vpn": "running"}


def test_what_was_asked_of_procd_and_is_not_answered_yet_is_believed(running):
    running.supervisor.stop("vpn", running.results.append)
    running.procd.away = True
    running.start("1.1.0")
    running.start(name="vpn")
    running.procd.away = False
    running.supervisor.reconcile()
    assert running.told == []
    assert states(running) == {"tv": "starting", "vpn": "starting"}
    running.procd.back()
    assert sorted(running.procd.instances) == [PREFIX + "tv", PREFIX + "vpn"]


def test_a_service_that_is_started_before_the_list_comes_is_not_missed_in_it(running):
    running.supervisor.stop("vpn", running.results.append)
    lists = []
    running.procd.list = lists.append
    running.supervisor.reconcile()
    before = dict(running.procd.instances)
    running.start(name="vpn")
    running.start("1.1.0")
    lists[0](before | {PREFIX + "tv": {"running": False, "exit_code": 0}})
    assert running.told == []
    assert states(running) == {"tv": "starting", "vpn": "starting"}


def test_before_the_agent_knows_what_runs_nothing_is_believed_to_be_gone(tmp_path):
    before = Router(tmp_path)
    before.start_and_ready()
    after = Router(tmp_path, procd=before.procd)
    after.supervisor.reconcile()
    assert [*after.procd.instances] == [PREFIX + "tv"]


def test_a_list_that_does_not_come_says_nothing(running):
    running.procd.list = lambda done: done(None)
    running.supervisor.reconcile()
    assert states(running) == {"tv": "running", "vpn": "running"}
