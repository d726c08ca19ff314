"""The life of a service's process, against a bus that answers as the agent does."""

import pytest

from isdf.errors import LimitError
from isdf.loop import Loop
from isdf.sdk import Flow, Service
from isdf.sdk.service import Process, load
from isdf.ubus import Status, StatusError


class FakeBus:
    """Takes the place of `isdf.ubus.Connection`: hands out configurations, notes calls, refuses where told to."""

    def __init__(self):
        self.calls, self.refuse, self.waiting, self.on_change = [], {}, None, None

    def subscribe(self, path, callback, on_change=None):
        self.on_change = on_change

    def call_async(self, path, method, args, done, timeout):
        assert (path, method, timeout) == ("isdf.service", "config", None)
        self.waiting = (args.get("after"), done)

    def call(self, path, method, args, timeout):
        self.calls.append((f"{path} {method}", args))
        answer = self.refuse.get(method)
        if isinstance(answer, Exception):
            raise answer
        return answer or {"lease": "1"}

    def deliver(self, revision, **config):
        _, done = self.waiting
        self.waiting = None
        done(0, {"revision": revision, "config": config})

    @property
    def methods(self):
        return [name.split()[1] for name, _ in self.calls]


class Lane(Service):
    def configure(self, site, rate):
        self.control.add_class("lane", rate)
        self.control.add_class_member("lane", Flow(host=site))


@pytest.fixture
def bus():
    return FakeBus()


@pytest.fixture
def process(bus):
    return Process(Lane, bus, Loop())


def test_the_first_configuration_is_asked_for_carried_out_and_told_ready(bus, process):
    assert bus.waiting[0] is None
    bus.deliver(1, site="tv.example", rate="200kBps")
    assert bus.methods == ["add_class", "add_class_member", "ready"]
    assert bus.calls[1][1] == {"name": "lane", "flow": {"host": "tv.example"}}
    assert bus.calls[2][1] == {"revision": 1}
    assert bus.waiting[0] == 1


def test_the_next_configuration_is_carried_out_by_the_same_process(bus, process):
    bus.deliver(1, site="tv.example", rate=1)
    bus.calls.clear()
    bus.deliver(2, site="tv.example", rate=2)
    assert bus.methods == ["add_class", "add_class_member", "ready"]
    assert bus.waiting[0] == 2


def test_a_refusal_at_the_start_is_reported_in_its_own_words_and_ends_the_process(bus, process):
    bus.refuse["add_class"] = {"error": LimitError("service tv may have 1 class at a time; remove one first").as_dict()}
    bus.deliver(1, site="tv.example", rate=1)
    assert bus.methods == ["add_class", "report"]
    assert bus.calls[-1][1] == {"error": "service tv may have 1 class at a time; remove one first", "revision": 1}
    assert process.exit_status == 1


def test_a_refusal_later_is_reported_and_the_process_waits_for_another_configuration(bus, process):
    bus.deliver(1, site="tv.example", rate=1)
    bus.deliver(2, site="tv.example", pace=3)
    assert bus.methods[-1] == "report"
    assert "TypeError" in bus.calls[-1][1]["error"]
    assert bus.waiting[0] == 2
    assert process.exit_status == 0


@pytest.mark.parametrize("status", [Status.NOT_FOUND, Status.TIMEOUT, Status.CONNECTION_FAILED])
def test_an_agent_that_goes_away_in_the_middle_is_asked_again_for_all_of_it(bus, status):
    loop = Loop()
    process = Process(Lane, bus, loop)
    process.RETRY = 0.01
    bus.refuse["add_class"] = StatusError(status)
    bus.deliver(1, site="tv.example", rate=1)
    assert "report" not in bus.methods
    bus.refuse.clear()
    while bus.waiting is None:
        loop.step(None)
    assert bus.waiting[0] is None
    bus.deliver(1, site="tv.example", rate=1)
    assert bus.methods[-1] == "ready"


def test_the_question_is_asked_anew_when_the_agent_comes_back(bus, process):
    bus.deliver(1, site="tv.example", rate=1)
    lost = bus.waiting
    bus.on_change(True)
    assert bus.waiting is not lost
    lost[1](0, {"revision": 9, "config": {}})
    assert bus.methods.count("ready") == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [("", ImportError), ("import nothing_of_that_name", ImportError), ("def (", SyntaxError)],
)
def test_a_folder_without_exactly_one_service_is_named(tmp_path, text, error):
    (tmp_path / "service.py").write_text(text)
    with pytest.raises(error):
        load(tmp_path)
