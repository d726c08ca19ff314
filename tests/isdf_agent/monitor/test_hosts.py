"""Following hosts: who is asked, when again, and that nothing is there while nobody wants one."""

import re

import pytest

from isdf.errors import HostNotFoundError, KernelError, UnavailableError
from isdf_agent.monitor.hosts import PATIENCE, PROBE, HostFollower
from isdf_agent.monitor.resolver import SilenceError
from isdf_agent.monitor.sources import dns_tap


class Loop:
    """Timers by hand."""

    def __init__(self):
        self.timers = []

    def after(self, seconds, callback):
        timer = Timer(seconds, callback)
        self.timers.append(timer)
        return timer

    def run(self):
        """The timers that are due next; returns after how many seconds."""
        self.timers = [t for t in self.timers if t.callback]
        soonest = min((t.seconds for t in self.timers), default=None)
        due = [t for t in self.timers if t.seconds == soonest]
        self.timers = [t for t in self.timers if t not in due]
        for timer in due:
            timer.callback()
        return soonest

    def watch(self, *args):
        pass


class Timer:
    def __init__(self, seconds, callback):
        self.seconds, self.callback = seconds, callback

    def cancel(self):
        self.callback = None


class Wishes:
    def __init__(self, *names):
        self.names, self.learnt = set(names), []

    def hosts_wanted(self):
        return self.names

    def learn(self, host, address, ttl):
        self.learnt.append((host, address, ttl))


class Resolver:
    def __init__(self):
        self.asked, self.answer = [], ([("192.0.2.1", 100.0)], None)

    def resolve(self, name, done):
        self.asked.append(name)
        done(*self.answer)


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def nflog(monkeypatch):
    """A kernel that logs to whoever asks; the answer is who does."""
    opened = []

    class Opened:
        def __init__(self, group, snaplen):
            opened.append(self)

        def fileno(self):
            return 99

        def close(self):
            opened.remove(self)

    monkeypatch.setattr(dns_tap, "Nflog", Opened)
    return opened


def test_names_are_asked_for_at_once_and_again_before_their_ttl_ends(loop):
    wishes, resolver = Wishes("tv.example", "*.cdn.example"), Resolver()
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.update()
    hosts.update()
    assert loop.run() == 0
    assert resolver.asked == ["tv.example"]
    assert wishes.learnt == [("tv.example", "192.0.2.1", 100.0)]
    assert loop.run() == 80
    assert resolver.asked == ["tv.example"] * 2


def test_who_asks_for_a_name_that_is_followed_asks_in_the_place_of_its_timer(loop):
    resolver = Resolver()
    hosts = HostFollower(loop, Wishes("tv.example"), None, resolver)
    hosts.update()
    loop.run()
    for _ in range(3):
        hosts.resolve("tv.example", lambda error: None)
    resolver.asked.clear()
    while loop.run() != 80:  # the patience of the three
        pass
    assert resolver.asked == ["tv.example"]


def test_a_name_that_nobody_wants_any_more_is_not_asked_for(loop):
    wishes, resolver = Wishes("tv.example"), Resolver()
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.update()
    loop.run()
    wishes.names.clear()
    hosts.update()
    assert loop.run() is None


def test_a_failure_is_asked_again_later(loop, caplog):
    wishes, resolver = Wishes("tv.example"), Resolver()
    resolver.answer = [], HostNotFoundError("the name servers know no host tv.example")
    HostFollower(loop, wishes, None, resolver).update()
    loop.run()
    assert "it keeps the addresses it has" in caplog.text
    assert loop.run() == 30


class Later:
    """A resolver whose answers come when the test says so."""

    def __init__(self):
        self.asked = {}

    def resolve(self, name, done):
        assert name not in self.asked, "it is being asked for already"
        self.asked[name] = done

    def answer(self, name, addresses=(), error=None):
        self.asked.pop(name)(list(addresses), error)

    def fail(self, name):
        self.answer(name, error=SilenceError(f"no name server answers for {name}"))


def test_who_adds_a_host_is_told_when_its_addresses_are_known(loop):
    wishes, resolver, told = Wishes(), Later(), []
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.resolve("tv.example", told.append)
    assert told == []
    resolver.answer("tv.example", [("192.0.2.1", 60.0)])
    assert told == [None]
    assert wishes.learnt == [("tv.example", "192.0.2.1", 60.0)]


def test_who_adds_a_host_that_does_not_exist_is_told_so(loop):
    resolver, told = Later(), []
    HostFollower(loop, Wishes(), None, resolver).resolve("tv.example", told.append)
    resolver.answer("tv.example", error=HostNotFoundError("no such host"))
    assert [type(error) for error in told] == [HostNotFoundError]


def test_with_a_dead_resolver_the_first_host_waits_and_the_others_do_not(loop):
    resolver, told = Later(), []
    hosts = HostFollower(loop, Wishes(), None, resolver)
    hosts.resolve("a.example", told.append)
    assert loop.run() == PATIENCE
    assert "no name server answers for a.example just now" in str(told[0])
    for name in "bcdefghijkl":
        hosts.resolve(f"{name}.example", told.append)
    assert len(told) == 12
    assert {type(error) for error in told} == {SilenceError}
    assert len(resolver.asked) == 12, "all are asked for at the same time"


def test_an_answer_that_comes_late_is_learned_and_told_once(loop):
    wishes, resolver, told = Wishes("a.example"), Later(), []
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.resolve("a.example", told.append)
    loop.run()
    resolver.answer("a.example", [("192.0.2.1", 60.0)])
    assert len(told) == 1
    assert wishes.learnt
    hosts.resolve("b.example", told.append)
    assert len(told) == 1, "servers answer again, so it is waited for"


def test_one_name_is_asked_for_while_no_server_answers_and_all_of_them_when_one_does(loop):
    names = [f"{letter}.example" for letter in "abcd"]
    wishes, resolver = Wishes(*names), Later()
    HostFollower(loop, wishes, None, resolver).update()
    loop.run()
    for name in names:
        resolver.fail(name)
    for _ in range(3):
        assert loop.run() == PROBE
        (name,) = resolver.asked
        resolver.fail(name)
    loop.run()
    resolver.answer(*resolver.asked, [("192.0.2.1", 60.0)])
    assert len(resolver.asked) == 3
    for name in list(resolver.asked):
        resolver.answer(name, [("192.0.2.2", 60.0)])
    assert {host for host, _, _ in wishes.learnt} == set(names)


def test_a_name_that_the_servers_cannot_tell_is_no_silence(loop):
    wishes, resolver, told = Wishes("a.example", "b.example"), Later(), []
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.resolve("a.example", told.append)
    resolver.answer("a.example", error=UnavailableError("the name servers cannot tell the address of a.example"))
    assert len(told) == 1
    hosts.resolve("b.example", told.append)
    assert len(told) == 1
    resolver.answer("b.example", [("192.0.2.1", 60.0)])
    assert resolver.asked == {}, "it is asked for again in its own time"
    assert loop.run() == PATIENCE
    assert loop.run() == 30
    assert list(resolver.asked) == ["a.example"]


def test_a_name_that_nobody_wants_any_more_is_not_asked_for_when_servers_answer_again(loop):
    wishes, resolver = Wishes("a.example", "b.example"), Later()
    hosts = HostFollower(loop, wishes, None, resolver)
    hosts.update()
    loop.run()
    resolver.fail("a.example")
    resolver.fail("b.example")
    wishes.names.clear()
    hosts.update()
    loop.run()
    assert resolver.asked == {}


class Rules:
    def __init__(self, refuse=False):
        self.scripts, self.refuse, self.there = [], refuse, []

    def run(self, commands):
        if self.refuse:
            raise KernelError("nftables refused the change")
        self.scripts.append(commands)

    def read(self, command):
        if not self.there:
            raise KernelError("there is no such table")
        return self.there

    def has(self, table):
        return bool(self.there)


def test_rules_that_a_killed_agent_left_go_when_nobody_wants_a_host(loop):
    rules = Rules()
    rules.there = [{"table": {"name": "isdf_dns"}}]
    hosts = HostFollower(loop, Wishes(), rules, Resolver())
    hosts.update()
    hosts.update()
    assert len(rules.scripts) == 1
    assert rules.scripts[0].endswith("delete table inet isdf_dns")


def test_where_the_kernel_refuses_names_are_asked_for_all_the_same_and_a_repair_is_called_for(loop, caplog, nflog):
    resolver, rules, faults = Resolver(), Rules(refuse=True), []
    hosts = HostFollower(loop, Wishes("tv.example"), rules, resolver)
    hosts.on_fault = lambda: faults.append(True)
    hosts.update()
    hosts.update()
    loop.run()
    assert resolver.asked == ["tv.example"]
    assert caplog.text.count("by asking alone") == 1
    assert faults == [True]
    with pytest.raises(KernelError):
        hosts.repair()
    rules.refuse = False
    hosts.repair()
    assert len(rules.scripts) == 1


def test_a_repair_brings_back_rules_that_somebody_took_away_and_leaves_good_ones(loop, nflog):
    rules = Rules()
    hosts = HostFollower(loop, Wishes("tv.example"), rules, Resolver())
    hosts.update()
    hosts.repair()
    assert len(rules.scripts) == 2
    marks = re.findall(r'rule inet isdf_dns (\w+) .* comment "(\w+)"', rules.scripts[0])
    rules.there = [{"rule": {"chain": chain, "comment": comment}} for chain, comment in marks]
    hosts.repair()
    assert len(rules.scripts) == 2
    assert len(nflog) == 1, "it listens all the time"


def test_a_repair_listens_to_nothing_while_nobody_wants_a_host(loop):
    rules = Rules()
    hosts = HostFollower(loop, Wishes(), rules, Resolver())
    hosts.update()
    hosts.repair()
    assert rules.scripts == []
