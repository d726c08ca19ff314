"""The life of a service as the supervisor sees it, with a procd that does what a test says."""

import json

import pytest

from isdf.errors import KernelError, NotFoundError, NotPermittedError, UnavailableError
from isdf.loop import Loop
from isdf_agent.services.supervisor import PREFIX, Supervisor


class FakeProcd:
    def __init__(self):
        self.instances = {}
        self.refuse = None

    def set(self, name, instance, done):
        if not self.refuse:
            self.instances[name] = {"running": True, "env": instance["env"], "command": instance["command"]}
        done(self.refuse)

    def delete(self, name, done):
        self.instances.pop(name, None)
        done(None)

    def list(self, done):
        done(dict(self.instances))


class FakeOwners:
    def __init__(self):
        self.log = []

    def begin(self, owner):
        self.log.append(("begin", owner))

    def ready(self, owner):
        self.log.append(("ready", owner))

    def abort(self, owner):
        self.log.append(("abort", owner))

    def withdraw(self, owner):
        self.log.append(("withdraw", owner))


class Router:
    """A supervisor with its fakes; `results` collects what each operation came to."""

    def __init__(self, tmp_path, ready_timeout=30.0, procd=None):
        self.loop, self.procd, self.owners = Loop(), procd or FakeProcd(), FakeOwners()
        (tmp_path / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/ash\nisdf-tv:x:32768:32768:tv:/var/run:/bin/false\n"
        )
        self.supervisor = Supervisor(
            self.procd, self.owners, self.loop, folder=tmp_path / "services", notes=tmp_path / "services.json",
            ubus=tmp_path / "ubus.sock", passwd=tmp_path / "passwd", ready_timeout=ready_timeout,
        )  # fmt: skip
        self.results = []
        self.replies = []

    def start(self, version="1.0.0", config=None):
        self.supervisor.start("tv", version, config or {"rate": 1}, self.results.append)

    def start_and_ready(self, version="1.0.0"):
        self.start(version)
        self.supervisor.config("tv", None, self.replies.append)
        self.supervisor.ready("tv", self.replies[-1]["revision"])


@pytest.fixture
def router(tmp_path):
    return Router(tmp_path)


def test_a_service_finds_our_modules_where_the_agent_does(router, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/usr/lib/isdf/python")
    router.start()
    assert router.procd.instances[PREFIX + "tv"]["env"]["PYTHONPATH"] == "/usr/lib/isdf/python"


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


def test_the_customer_holds_and_releases_a_service(router):
    router.start_and_ready()
    router.supervisor.hold("tv", router.results.append)
    assert router.procd.instances == {}
    assert router.supervisor.listing()["tv"]["state"] == "stopped"
    router.supervisor.release("tv", router.results.append)
    router.supervisor.config("tv", None, router.replies.append)
    router.supervisor.ready("tv", router.replies[-1]["revision"])
    assert router.results == [None, None, None]


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


@pytest.mark.parametrize("end", ["stop", "hold"])
def test_who_waits_for_a_service_that_is_stopped_is_told(router, end):
    router.start()
    getattr(router.supervisor, end)("tv", lambda error: None)
    assert router.results == ["it was stopped"]


def test_a_service_that_was_stopped_takes_its_configuration_when_it_starts_again(router):
    router.start_and_ready()
    router.supervisor.hold("tv", lambda error: None)
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    assert router.results == [None, None]
    router.supervisor.release("tv", router.results.append)
    router.supervisor.config("tv", None, router.replies.append)
    assert router.replies[-1]["config"] == {"rate": 2}


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
    router.supervisor.hold("tv", lambda error: None)
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


def test_a_process_that_procd_gives_up_over_a_new_configuration_does_not_count_as_running(router):
    told = []
    router.supervisor.on_failure = lambda name, error: told.append(error)
    router.start_and_ready()
    router.supervisor.reconfigure("tv", {"rate": 2}, router.results.append)
    router.supervisor.exited("tv", 1, given_up=True)
    assert router.results == [None, "the process ended with status 1; what it said is in the router's log (logread)"]
    assert told == router.results[1:]
    assert router.supervisor.listing()["tv"]["state"] == "failed"


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
