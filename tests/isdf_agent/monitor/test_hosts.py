"""Following hosts: who is asked, when again, and that nothing is there while nobody wants one."""

import pytest

from isdf.errors import HostNotFoundError, KernelError
from isdf_agent.monitor.hosts import HostFollower


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


class Rules:
    def __init__(self, refuse=False):
        self.scripts, self.refuse = [], refuse

    def run(self, commands):
        if self.refuse:
            raise KernelError("nftables refused the change")
        self.scripts.append(commands)

    def read(self, command):
        raise KernelError("there is no such table")


def test_rules_that_a_killed_agent_left_go_when_nobody_wants_a_host(loop):
    rules = Rules()
    hosts = HostFollower(loop, Wishes(), rules, Resolver())
    hosts.update()
    hosts.update()
    assert len(rules.scripts) == 1
    assert rules.scripts[0].endswith("delete table inet isdf_dns")


def test_where_the_kernel_refuses_names_are_asked_for_all_the_same(loop, caplog):
    resolver = Resolver()
    hosts = HostFollower(loop, Wishes("tv.example"), Rules(refuse=True), resolver)
    hosts.update()
    hosts.update()
    loop.run()
    assert resolver.asked == ["tv.example"]
    assert caplog.text.count("by asking alone") == 1
