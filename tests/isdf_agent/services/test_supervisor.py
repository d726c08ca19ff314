"""The life of a service as the supervisor sees it, with a procd that does what a test says."""

import pytest
from supervised import Router

from isdf.errors import KernelError, NotFoundError, NotPermittedError, UnavailableError
from isdf.formats.assignment import PREFIX


def test_a_service_finds_our_modules_where_the_agent_does(router, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/usr/lib/isdf/python")
    router.start()
    assert router.procd.instances[PREFIX + "tv"]["env"]["PYTHONPATH"] == "/usr/lib/isdf/python"


def test_a_service_finds_no_modules_where_it_happens_to_stand(router):
    router.start()
    assert router.procd.instances[PREFIX + "tv"]["command"][:4] == ["/usr/bin/python3", "-P", "-m", "isdf.sdk"]


def test_a_start_is_done_when_the_service_is_ready(router):
    router.start()
    assert router.results == []
    router.supervisor.config("tv", None, router.replies.append)
    assert router.replies == [{"revision": 1, "config": {"rate": 1}}]
    router.supervisor.ready("tv", 1)
    assert router.results == [None]
    assert router.supervisor.listing()["tv"]["state"] == "running"
    assert router.owners.log[-1] == ("ready", "tv")


def test_a_service_that_never_calls_ready_failed_to_start(tmp_path):
    router = Router(tmp_path, ready_timeout=0.01)
    router.start()
    while not router.results:
        router.loop.step(None)
    assert router.results == ["it did not call ready within 0.01 s; what it said is in the router's log (logread)"]
    assert router.supervisor.listing()["tv"]["state"] == "failed"


def test_a_service_that_exits_again_and_again_failed_to_start_and_the_status_is_told(router):
    router.start()
    router.supervisor.exited("tv", 3, given_up=False)
    assert router.results == []
    router.supervisor.exited("tv", 3, given_up=True)
    assert router.results == ["the process ended with status 3; what it said is in the router's log (logread)"]


def test_a_report_fails_a_start_at_once_with_the_services_own_words(router):
    router.start()
    router.supervisor.report("tv", "the line has 50 kB/s left", 1)
    assert router.results == ["the line has 50 kB/s left"]


def test_procd_that_refuses_fails_the_start(router):
    router.procd.refuse = "procd did not set it: Permission denied"
    router.start()
    assert router.results == ["procd did not set it: Permission denied"]


def test_a_new_configuration_reaches_the_waiting_service_without_a_restart(router):
    router.start_and_ready()
    command = router.procd.instances[PREFIX + "tv"]
    router.supervisor.config("tv", 1, router.replies.append)
    assert len(router.replies) == 1
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    assert router.replies[-1] == {"revision": 2, "config": {"rate": 2}}
    router.supervisor.ready("tv", 2)
    assert router.results == [None, None]
    assert router.procd.instances[PREFIX + "tv"] is command


def test_a_configuration_that_the_service_cannot_take_gives_way_to_the_one_before(router):
    router.start_and_ready()
    router.supervisor.config("tv", 1, router.replies.append)
    router.supervisor.reconfigure("tv", {"rate": 99}, router.results.append)
    router.supervisor.report("tv", "rate 99 is too much", 2)
    assert router.results[-1] == "rate 99 is too much"
    assert router.owners.log[-1] == ("abort", "tv")
    router.supervisor.config("tv", 2, router.replies.append)
    assert router.replies[-1] == {"revision": 3, "config": {"rate": 1}}
    router.supervisor.ready("tv", 3)
    assert router.supervisor.listing()["tv"]["state"] == "running"
    assert router.supervisor.listing()["tv"]["error"] is None


def test_an_answer_to_an_older_configuration_does_not_count(router):
    router.start_and_ready()
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    router.supervisor.ready("tv", 1)
    router.supervisor.report("tv", "late", 1)
    assert router.results == [None]


def test_stop_ends_the_process_and_all_that_it_owned(router):
    router.start_and_ready()
    router.supervisor.stop("tv", router.results.append)
    assert router.procd.instances == {}
    assert router.owners.log[-1] == ("withdraw", "tv")
    assert router.supervisor.listing() == {}
    with pytest.raises(NotFoundError):
        router.supervisor.ready("tv", None)


def test_a_running_service_that_procd_gives_up_loses_what_it_owned_and_is_told(router):
    told = []
    router.supervisor.on_failure = lambda name, error: told.append((name, error))
    router.start_and_ready()
    router.supervisor.exited("tv", 139, given_up=True)
    assert told == [("tv", "the process was ended by signal 11; what it said is in the router's log (logread)")]
    assert router.owners.log[-1] == ("withdraw", "tv")


def test_a_service_that_the_customer_stopped_ends_and_is_known_as_stopped(router):
    router.start_and_ready()
    router.hold()
    assert router.procd.instances == {}
    assert router.owners.log[-1] == ("withdraw", "tv")
    assert router.state() == "stopped"
    assert router.supervisor.versions() == {}
    since = router.supervisor.listing()["tv"]["since"]
    router.hold("1.1.0")
    assert router.supervisor.listing()["tv"] | {"revision": 0} == {
        "version": "1.1.0", "state": "stopped", "since": since, "error": None, "revision": 0
    }  # fmt: skip
    router.start_and_ready("1.1.0")
    assert router.state() == "running"
    assert router.results == [None, None, None, None]


@pytest.mark.parametrize("end", ["stop", "hold"])
def test_who_waits_for_a_service_that_is_stopped_is_told(router, end):
    router.start()
    if end == "stop":
        router.supervisor.stop("tv", lambda error: None)
    else:
        router.supervisor.hold("tv", "1.0.0", {}, lambda error: None)
    assert router.results == ["it was stopped"]


@pytest.mark.parametrize("passwd", ["", "root:x:0:0::/:\n", "isdf-tv:x:0:0::/:\n", "isdf-tvx:x:9:9::/:\n"])
def test_a_service_without_a_user_of_its_own_is_never_started(router, tmp_path, passwd):
    (tmp_path / "passwd").write_text(passwd)
    router.start()
    assert "its user isdf-tv is not in" in router.results[0]
    assert router.procd.instances == {}


def test_a_service_that_is_ready_too_late_and_was_not_ended_runs(tmp_path):
    router = Router(tmp_path, ready_timeout=0.01)
    router.start()
    while not router.results:
        router.loop.step(None)
    router.supervisor.ready("tv", 1)
    assert router.supervisor.listing()["tv"]["state"] == "running"
    assert len(router.results) == 1


def test_a_service_that_is_stopped_may_ask_for_nothing_more(router):
    router.start()
    router.supervisor.check_asks("tv")
    router.hold()
    with pytest.raises(NotPermittedError, match="tv is stopped; start it first"):
        router.supervisor.check_asks("tv")
    router.supervisor.stop("tv", lambda error: None)
    with pytest.raises(UnavailableError):
        router.supervisor.check_asks("tv")


def test_a_process_that_is_being_exchanged_gets_nothing_of_its_successors(router):
    router.start()
    told = []
    with pytest.raises(UnavailableError, match="tv is "):
        router.supervisor.config("tv", None, told.append, "0.9")
    router.supervisor.config("tv", None, told.append, router.supervisor.versions()["tv"])
    assert [reply["revision"] for reply in told] == [1]


def test_another_try_exchanges_the_process_even_of_the_same_version(router):
    router.start_and_ready()
    router.supervisor.config("tv", 1, router.replies.append)  # it waits, or hangs
    first = router.procd.instances[PREFIX + "tv"]["env"]
    router.start()
    assert router.procd.instances[PREFIX + "tv"]["env"] != first, "procd would leave it alone"
    assert len(router.replies) == 1, "who is about to be ended is told nothing"


def test_a_full_file_system_keeps_no_service_from_being_ended(router, tmp_path):
    router.start_and_ready()
    (tmp_path / "services.new").mkdir()
    router.supervisor.stop("tv", router.results.append)
    assert router.procd.instances == {}
    assert router.owners.log[-1] == ("withdraw", "tv")


def test_who_waits_for_a_start_is_told_also_when_the_line_cannot_go_back(router, monkeypatch):
    def refuse(owner):
        raise KernelError("the WAN device wan does not exist")

    monkeypatch.setattr(router.owners, "abort", refuse)
    router.start()
    router.supervisor.report("tv", "it cannot", 1)
    assert router.results == ["it cannot"]


def test_a_start_that_failed_before_procd_gave_it_up_fails_once(router):
    told = []
    router.supervisor.on_failure = lambda name, error: told.append(error)
    router.start()
    router.supervisor.report("tv", "it cannot", 1)
    router.supervisor.exited("tv", 1, given_up=True)
    assert router.results == ["it cannot"]
    assert told == []
    assert ("withdraw", "tv") not in router.owners.log, "that is of the version before, which comes back"


def test_a_process_that_procd_gives_up_over_a_new_configuration_failed_with_it_and_does_not_count_as_running(router):
    told = []
    router.supervisor.on_failure = lambda name, error: told.append(error)
    router.start_and_ready()
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    router.supervisor.exited("tv", 1, given_up=True)
    assert router.results == [None, "the process ended with status 1; what it said is in the router's log (logread)"]
    assert told == [], "it is the configuration's fault, not that of what ran before"
    assert router.owners.log[-1] == ("abort", "tv")
    assert router.state() == "failed"


def test_after_two_configurations_that_it_cannot_take_the_last_good_one_is_in_force(router):
    router.start_and_ready()
    router.supervisor.reconfigure("tv", {"rate": 98}, router.results.append)
    router.supervisor.reconfigure("tv", {"rate": 99}, router.results.append)
    assert router.results == [None, "it was asked for anew"]
    router.supervisor.report("tv", "rate 99 is too much", 3)
    router.supervisor.config("tv", 3, router.replies.append)
    assert router.replies[-1]["config"] == {"rate": 1}


def test_a_stop_that_procd_refuses_is_told_of(router):
    router.start_and_ready()
    router.procd.refuse = "procd did not delete it: Timeout"
    router.supervisor.stop("tv", router.results.append)
    assert router.results[-1] == "procd did not delete it: Timeout"
    assert router.owners.log[-1] == ("withdraw", "tv")
    with pytest.raises(UnavailableError):
        router.supervisor.check_asks("tv")


def test_a_stop_that_is_answered_after_the_next_start_takes_nothing_from_it(router):
    router.start_and_ready()
    router.procd.away = True
    router.supervisor.stop("tv", router.results.append)
    router.start()
    router.procd.back()
    assert ("withdraw", "tv") not in router.owners.log


def test_a_new_configuration_starts_a_service_that_had_failed(router):
    router.start_and_ready()
    router.supervisor.exited("tv", 1, given_up=True)
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    assert router.results == [None]
    router.supervisor.config("tv", None, router.replies.append)
    assert router.replies[-1]["config"] == {"rate": 2}
    router.supervisor.ready("tv", router.replies[-1]["revision"])
    assert router.results == [None, None]
    assert router.supervisor.listing()["tv"]["state"] == "running"


def test_who_looks_at_a_configuration_asks_nothing_in_the_services_name(router):
    router.start_and_ready()
    router.supervisor.config("tv", 1, router.replies.append)
    before = list(router.owners.log)
    assert router.supervisor.current("tv") == {"revision": 1, "config": {"rate": 1}}
    assert router.owners.log == before
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    assert router.replies[-1]["revision"] == 2, "the service's own question has its answer"
