"""Rounds of asking, and the end of all that an owner has: what stays, what goes, and what nobody else may take."""

import pytest
from samples import LINE, WEB, labels, labels_of

from isdf.errors import KernelError, LimitError, LineFullError
from isdf.model import Flow
from isdf_agent.policy.policy import RETRY


def test_ready_ends_what_was_not_asked_for_again_in_one_change(policy, dataplane):
    policy.add_class("pay", "old", 1_000_000)
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", WEB)
    policy.add_class_member("pay", "sites", Flow(remote="192.0.2.9"))
    policy.begin("pay")
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", WEB)
    assert len(dataplane.state.classes) == 2
    changes = dataplane.changes
    policy.ready("pay")
    assert dataplane.changes == changes + 1
    assert [c.label for c in dataplane.state.classes.values()] == ["pay/sites"]
    assert len(dataplane.state.members) == 1
    policy.ready("pay")
    assert dataplane.changes == changes + 1


def test_in_a_round_the_successor_is_not_counted_beside_its_predecessor(policy):
    policy.add_class("pay", "one", "400kBps")
    policy.add_class("pay", "two", "400kBps")
    policy.begin("pay")
    policy.add_class("pay", "three", "400kBps")
    with pytest.raises(LineFullError):
        policy.add_class("vpn", "x", "400kBps")
    policy.ready("pay")
    assert [c["class"] for c in policy.list("pay")["classes"]] == ["three"]


def test_abort_brings_back_what_was_there_when_the_round_opened(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", WEB)
    state = dataplane.state
    policy.begin("pay")
    policy.add_class("pay", "sites", 2_000_000)
    policy.add_class("pay", "more", 2_000_000)
    policy.remove_class("pay", "sites")
    policy.abort("pay")
    assert labels(dataplane) == labels_of(state)
    assert [c.rate for c in dataplane.state.classes.values()] == [c.rate for c in state.classes.values()]
    policy.ready("pay")
    assert len(dataplane.state.classes) == 1


def test_withdraw_removes_all_of_the_owner_and_nothing_else(policy, dataplane):
    for owner in ("pay", "vpn"):
        policy.add_class(owner, "c", 1_000_000)
        policy.add_class_member(owner, "c", Flow(remote="192.0.2.1" if owner == "pay" else "192.0.2.2"))
    policy.withdraw("pay")
    assert set(labels(dataplane).values()) == {"vpn/c"}
    assert [c["owner"] for c in policy.list()["classes"]] == ["vpn"]


def test_a_withdrawal_that_the_kernel_refuses_is_carried_out_as_soon_as_it_goes(policy, dataplane):
    changes, apply = [], dataplane.apply

    def refuse(change):
        raise KernelError("the WAN device wan does not exist")

    policy.add_class("pay", "sites", 1_000_000)
    policy.on_change = lambda: changes.append(True)
    dataplane.apply = refuse
    policy.withdraw("pay")
    assert changes, "so that tick is called"
    assert policy.tick() == RETRY
    assert policy.owners() == {"pay"}
    dataplane.apply = apply
    policy.tick()
    assert policy.owners() == set()
    assert not dataplane.state.classes


def test_an_abort_that_is_refused_again_and_again_ends_nothing_later_for_others(policy, clock, monkeypatch, caplog):
    def refuse(*held):
        raise LimitError("the router has its 254 classes")

    for owner in ("pay", "vpn"):
        policy.add_class(owner, "c", 1_000_000)
    policy.add_class_member("vpn", "c", WEB, duration=5)
    policy.begin("pay")
    policy.add_class("pay", "d", 1_000_000)
    monkeypatch.setattr("isdf_agent.policy.policy.back", refuse)
    policy.abort("pay")
    caplog.clear()
    assert policy.tick() == 5
    assert "what service pay has on the line stays as it is for now: the router has its 254 classes" in caplog.text
    clock.pass_by(5)
    assert policy.tick() == RETRY
    assert policy.list("vpn")["classes"][0]["members"] == []


def test_who_comes_back_before_the_withdrawal_was_carried_out_keeps_what_it_asks_for(policy, dataplane):
    apply = dataplane.apply
    policy.add_class("pay", "sites", 1_000_000)

    def refuse(change):
        raise KernelError("the WAN device wan does not exist")

    dataplane.apply = refuse
    policy.withdraw("pay")
    dataplane.apply = apply
    policy.begin("pay")
    policy.add_class("pay", "sites", 1_000_000)
    policy.ready("pay")
    policy.tick()
    assert policy.owners() == {"pay"}


@pytest.mark.parametrize("gives_up", ["a rate", "a class"])
def test_nobody_takes_what_an_abort_would_bring_back(policy, dataplane, gives_up):
    policy.add_class("pay", "sites", "800kBps")
    policy.begin("pay")
    if gives_up == "a rate":
        policy.add_class("pay", "sites", "100kBps")
    else:
        policy.remove_class("pay", "sites")
    with pytest.raises(LineFullError, match="800 held by classes, 50 kB/s left"):
        policy.add_class("gold", "big", "700kBps")
    policy.add_class("gold", "big", "50kBps")
    policy.abort("pay")
    assert sorted(c.rate.down for c in dataplane.state.classes.values()) == [400_000, 6_400_000]


def test_what_a_round_gave_up_is_there_for_others_when_it_has_closed(policy):
    policy.add_class("pay", "sites", "800kBps")
    policy.begin("pay")
    policy.add_class("pay", "sites", "100kBps")
    policy.ready("pay")
    policy.add_class("gold", "big", "700kBps")


def test_an_abort_that_the_kernel_refuses_is_carried_out_as_soon_as_it_goes(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    policy.begin("pay")
    policy.add_class("pay", "sites", 2_000_000)
    apply = dataplane.apply

    def refuse(change):
        raise KernelError("the WAN device wan does not exist")

    dataplane.apply = refuse
    policy.abort("pay")
    policy.ready("pay")
    dataplane.apply = apply
    with pytest.raises(LineFullError):
        policy.add_class("gold", "big", LINE.down - LINE.base_down - 1_500_000)
    policy.tick()
    assert [c.rate.down for c in dataplane.state.classes.values()] == [1_000_000]
    policy.ready("pay")
    assert [c.rate.down for c in dataplane.state.classes.values()] == [1_000_000]


def test_a_new_round_begins_with_what_a_refused_abort_would_have_brought_back(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    policy.begin("pay")
    policy.add_class("pay", "sites", 2_000_000)
    apply = dataplane.apply

    def refuse(change):
        raise KernelError("the WAN device wan does not exist")

    dataplane.apply = refuse
    policy.abort("pay")
    dataplane.apply = apply
    policy.begin("pay")
    policy.add_class("pay", "sites", 3_000_000)
    policy.abort("pay")
    assert [c.rate.down for c in dataplane.state.classes.values()] == [1_000_000]


def test_each_verb_writes_the_ledger_once_and_only_news(policy, ledger):
    saved = []
    save = ledger.save
    ledger.save = lambda state: saved.append(state) or save(state)

    def writes(*verb):
        saved.clear()
        getattr(policy, verb[0])(*verb[1:])
        return len(saved)

    assert writes("begin", "pay") == 1
    for times in (1, 0):
        assert writes("add_class", "pay", "a", 1_000_000) == times
        assert writes("add_class", "pay", "b", 1_000_000) == times
        assert writes("add_class_member", "pay", "a", WEB) == times
        assert writes("add_class_member", "pay", "a", Flow(host="tv.example")) == times
        assert writes("learn", "tv.example", "192.0.2.1", 60) == times
    assert writes("remove_class", "pay", "b") == 1
    assert writes("ready", "pay") == 1
    assert writes("ready", "pay") == 0
    assert writes("begin", "pay") == 1
    assert writes("abort", "pay") == 1
    assert writes("tick") == 0
    assert writes("settle") == 0
    assert writes("withdraw", "pay") == 1
    assert writes("withdraw", "pay") == 0
