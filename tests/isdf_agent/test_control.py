"""The agent's objects as root calls them: members that follow a host, and what a service is configured with."""

from types import SimpleNamespace

import pytest

from isdf.errors import HostNotFoundError, UnavailableError
from isdf.model import Line
from isdf_agent.bus import publish
from isdf_agent.dataplane.memory import MemoryDataplane
from isdf_agent.policy.ledger import MemoryLedger
from isdf_agent.policy.policy import Policy
from openwrt.fixtures import connect, loop, own_bus, until

__all__ = ["connect", "loop", "own_bus", "until"]
pytestmark = pytest.mark.system

MEMBER = {"name": "lane", "flow": {"host": "tv.example"}}


class Hosts:
    """`asked`: by name, who waits to be told."""

    def __init__(self):
        self.asked = {}

    def resolve(self, name, done):
        self.asked[name] = done


@pytest.fixture
def policy():
    policy = Policy(MemoryDataplane(), Line(8_000_000, 8_000_000, 0, 0), MemoryLedger(), None, None)
    policy.restore()
    policy.add_class("local", "lane", "100kBps")
    return policy


@pytest.fixture
def hosts():
    return Hosts()


@pytest.fixture
def add(own_bus, connect, until, policy, hosts):
    """`add()`: asks for the member as root; the list that its answer comes into."""
    publish(connect(own_bus), SimpleNamespace(release=None, hold=None), SimpleNamespace(), policy, hosts)
    client = connect(own_bus)

    def add():
        answers = []
        client.call_async("isdf.control", "add_class_member", MEMBER, lambda status, reply: answers.append(reply))
        return answers

    return add


def test_the_answer_waits_for_the_addresses(until, policy, hosts, add):
    answers = add()
    until(lambda: hosts.asked)
    assert policy.hosts_wanted() == {"tv.example"}
    assert not answers
    hosts.asked["tv.example"](None)
    until(lambda: answers)
    assert answers[0].keys() == {"lease", "active"}
    policy.learn("tv.example", "192.0.2.1", 60)
    again = add()
    until(lambda: again)
    assert again == answers, "known addresses are not asked for again"


def test_silent_name_servers_are_a_warning_and_the_member_stays(until, policy, hosts, add):
    answers = add()
    until(lambda: hosts.asked)
    hosts.asked["tv.example"](UnavailableError("no name server answers"))
    until(lambda: answers)
    assert answers[0]["warning"] == "no name server answers"
    assert policy.hosts_wanted() == {"tv.example"}


@pytest.mark.parametrize("gone", [False, True], ids=["it is held", "it went meanwhile"])
def test_a_host_that_does_not_exist_is_an_error_and_no_member(until, policy, hosts, add, gone):
    answers = add()
    until(lambda: hosts.asked)
    if gone:
        policy.withdraw("local")
    hosts.asked["tv.example"](HostNotFoundError("the name servers know no host tv.example"))
    until(lambda: answers)
    assert answers[0]["error"]["type"] == "host-not-found"
    assert policy.hosts_wanted() == set()


@pytest.mark.parametrize(("version", "asked"), [(None, []), ("1.0.0", [("tv", 1, "1.0.0")])])
def test_root_reads_a_configuration_and_asks_for_one_only_as_a_process_of_a_version(
    own_bus, connect, until, policy, hosts, version, asked
):
    questions, answers = [], []

    def config(name, after, reply, version):
        questions.append((name, after, version))
        reply({"revision": 2})

    supervisor = SimpleNamespace(current=lambda name: {"revision": 1}, config=config)
    publish(connect(own_bus), SimpleNamespace(release=None, hold=None), supervisor, policy, hosts)
    told = {"service": "tv", "after": 1} | ({"version": version} if version else {})
    connect(own_bus).call_async("isdf.service", "config", told, lambda status, reply: answers.append(reply))
    until(lambda: answers)
    assert (questions, answers) == (asked, [{"revision": 2 if version else 1}])
