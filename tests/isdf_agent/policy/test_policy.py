"""The verbs of the control API over the in-memory dataplane."""

import pytest

from isdf.errors import (
    InvalidError,
    KernelError,
    LimitError,
    LineFullError,
    NotFoundError,
    NotPermittedError,
)
from isdf.model import Flow, Line, Rate
from isdf_agent.dataplane.memory import MemoryDataplane, Packet
from isdf_agent.dataplane.port import BASE
from isdf_agent.policy.grants import Grant, Limit
from isdf_agent.policy.ledger import MemoryLedger
from isdf_agent.policy.policy import Policy

LINE = Line(down=8_000_000, up=8_000_000, base_down=1_200_000, base_up=1_200_000)
GRANTS = {
    "pay": Grant({"add_class": Limit(2), "add_class_member": Limit(5)}, position=0),
    "vpn": Grant({"add_class": Limit(9, 4_000_000), "add_class_member": Limit(9)}, position=1),
    "gold": Grant({"add_class": Limit(9), "add_class_member": Limit(9)}, priority=7, position=2),
    "deaf": Grant({}, position=3),
}


class Clock:
    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dataplane():
    return MemoryDataplane()


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def policy(dataplane, ledger, clock):
    policy = Policy(dataplane, LINE, ledger, GRANTS.__getitem__, clock)
    policy.restore()
    return policy


def labels(dataplane):
    """Each match with the label of its class: what is the same whatever ids classes got."""
    return {match: dataplane.state.classes[i].label for match, i in dataplane.state.members.items()}


WEB = Flow(remote="192.0.2.1", remote_port="443", proto="tcp")
PACKET = Packet(6, "192.168.1.2", "192.0.2.1", 40000, 443)


def test_a_class_has_its_rate_up_and_ceilings_by_default(policy, dataplane):
    assert policy.add_class("pay", "sites", "200kBps") == {
        "class": "sites", "rate": 1_600_000, "ceil": 1_600_000, "up": 1_600_000, "up_ceil": 1_600_000,
    }  # fmt: skip
    (made,) = dataplane.state.classes.values()
    assert made.label == "pay/sites"
    assert made.rate == Rate(1_600_000, 1_600_000, 1_600_000, 1_600_000)


def test_a_member_is_in_its_class_and_other_traffic_in_the_base(policy, dataplane):
    policy.add_class("pay", "sites", 1_600_000)
    lease = policy.add_class_member("pay", "sites", WEB)
    assert lease.active
    assert dataplane.state.classes[dataplane.classify(PACKET)].label == "pay/sites"
    assert dataplane.classify(Packet(6, "192.168.1.2", "192.0.2.2", 40000, 443)) == BASE
    policy.remove_class_member("pay", lease.id)
    assert dataplane.classify(PACKET) == BASE


def test_asking_again_changes_nothing(policy, dataplane):
    policy.add_class("pay", "sites", 1_600_000)
    first = policy.add_class_member("pay", "sites", WEB)
    changes = dataplane.changes
    policy.add_class("pay", "sites", "200kBps")
    assert policy.add_class_member("pay", "sites", WEB.as_dict()) == first
    assert dataplane.changes == changes


def test_another_rate_changes_the_class_in_place(policy, dataplane):
    policy.add_class("pay", "sites", 1_600_000)
    policy.add_class_member("pay", "sites", WEB)
    before = dataplane.classify(PACKET)
    policy.add_class("pay", "sites", 800_000)
    assert dataplane.classify(PACKET) == before
    assert dataplane.state.classes[before].rate.down == 800_000


def test_a_removed_class_takes_its_members_along(policy, dataplane):
    policy.add_class("pay", "sites", 1_600_000)
    policy.add_class_member("pay", "sites", WEB)
    policy.remove_class("pay", "sites")
    assert not dataplane.state.classes
    assert not dataplane.state.members
    with pytest.raises(NotFoundError):
        policy.remove_class("pay", "sites")


def test_names_are_per_owner(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class("vpn", "sites", 2_000_000)
    assert sorted(c.label for c in dataplane.state.classes.values()) == ["pay/sites", "vpn/sites"]
    assert [c["rate"] for c in policy.list("vpn")["classes"]] == [2_000_000]
    policy.remove_class("vpn", "sites")
    assert [c.label for c in dataplane.state.classes.values()] == ["pay/sites"]


def test_a_lease_of_another_service_cannot_be_ended(policy):
    policy.add_class("pay", "sites", 1_000_000)
    lease = policy.add_class_member("pay", "sites", WEB)
    with pytest.raises(NotFoundError):
        policy.remove_class_member("vpn", lease.id)


@pytest.mark.parametrize("lease", [None, "", 5, [], {}])
def test_a_lease_that_is_no_text_is_invalid(policy, lease):
    with pytest.raises(InvalidError, match="add_class_member answered"):
        policy.remove_class_member("pay", lease)


@pytest.mark.parametrize("duration", [0, -1, True, "1", [], float("nan"), float("inf")])
def test_a_duration_that_is_none_is_invalid(policy, duration):
    policy.add_class("pay", "sites", 1_000_000)
    with pytest.raises(InvalidError, match="duration"):
        policy.add_class_member("pay", "sites", WEB, duration)


def test_what_is_not_in_may_is_not_permitted(policy):
    with pytest.raises(NotPermittedError, match="deaf may not add_class"):
        policy.add_class("deaf", "sites", 1_000_000)


def test_a_service_has_no_more_than_its_limits(policy):
    policy.add_class("pay", "a", 100_000)
    policy.add_class("pay", "b", 100_000)
    with pytest.raises(LimitError):
        policy.add_class("pay", "c", 100_000)
    policy.add_class("vpn", "a", 3_000_000)
    with pytest.raises(LimitError, match="500 kB/s in sum"):
        policy.add_class("vpn", "b", 2_000_000)
    for port in range(1, 6):
        policy.add_class_member("pay", "a", Flow(remote_port=port))
    with pytest.raises(LimitError):
        policy.add_class_member("pay", "a", Flow(remote_port=9))
    policy.add_class_member("pay", "a", Flow(remote_port=5))


def test_root_at_the_command_line_has_no_limits(policy):
    for name in "abcdefghijklm":
        policy.add_class("local", name, 100_000)


def test_a_rate_beyond_the_line_is_refused_and_the_error_tells_what_is_left(policy, dataplane):
    policy.add_class("gold", "big", "800kBps")
    with pytest.raises(LineFullError) as caught:
        policy.add_class("pay", "sites", "300kBps")
    assert str(caught.value) == (
        "rate 300 kB/s does not fit down: 1000 kB/s line, 150 base, 800 held by classes, 50 kB/s left"
    )
    assert "gold" not in str(caught.value)
    with pytest.raises(LineFullError, match="does not fit up"):
        policy.add_class("pay", "sites", "50kBps", up="51kBps")
    policy.add_class("pay", "sites", "50kBps")
    assert len(dataplane.state.classes) == 2


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast", None, True, "1e9999"])
def test_a_rate_that_is_none_is_invalid(policy, rate):
    with pytest.raises(InvalidError, match="rate"):
        policy.add_class("pay", "sites", rate)


def test_a_ceiling_below_the_rate_is_invalid_and_one_above_the_line_is_the_line(policy):
    with pytest.raises(InvalidError, match="ceil 50 kB/s is less"):
        policy.add_class("pay", "sites", "100kBps", ceil="50kBps")
    assert policy.add_class("pay", "sites", "100kBps", ceil="9MBps")["ceil"] == LINE.down


def test_a_member_needs_a_class_of_its_own_service(policy):
    policy.add_class("vpn", "sites", 1_000_000)
    with pytest.raises(NotFoundError, match="no class 'sites'"):
        policy.add_class_member("pay", "sites", WEB)


def test_when_the_kernel_refuses_everything_is_as_before(policy, dataplane, ledger):
    policy.add_class("pay", "sites", 1_000_000)
    state, text, apply = dataplane.state, ledger.text, dataplane.apply

    def refuse(change):
        raise KernelError("the kernel refused the rule")

    dataplane.apply = refuse
    for call in (
        lambda: policy.add_class("pay", "other", 1_000_000),
        lambda: policy.add_class("pay", "sites", 2_000_000),
        lambda: policy.add_class_member("pay", "sites", WEB),
        lambda: policy.remove_class("pay", "sites"),
    ):
        with pytest.raises(KernelError):
            call()
    dataplane.apply = apply
    assert dataplane.state == state
    assert ledger.text == text
    assert policy.list("pay")["classes"][0]["rate"] == 1_000_000


def test_a_withdrawal_that_the_kernel_refuses_is_carried_out_as_soon_as_it_goes(policy, dataplane):
    changes, apply = [], dataplane.apply

    def refuse(change):
        raise KernelError("the WAN device wan does not exist")

    policy.add_class("pay", "sites", 1_000_000)
    policy.on_change = lambda: changes.append(True)
    dataplane.apply = refuse
    policy.withdraw("pay")
    assert changes, "so that tick is called"
    with pytest.raises(KernelError):
        policy.tick()
    assert policy.owners() == {"pay"}
    dataplane.apply = apply
    policy.tick()
    assert policy.owners() == set()
    assert not dataplane.state.classes


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


def test_a_device_that_is_another_one_now_is_repaired(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    state, dataplane.state = dataplane.state, type(dataplane.state)()
    policy.repair()
    assert dataplane.state == state


def test_an_answer_for_a_name_that_nobody_wants_costs_nothing(policy, monkeypatch):
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", Flow(host="tv.example"))
    monkeypatch.setattr(policy, "_commit", None)
    policy.learn("other.example", "192.0.2.1", 60)


def test_what_a_service_may_is_looked_up_once_for_all_its_members(policy, monkeypatch):
    policy.add_class("pay", "sites", 1_000_000)
    for n in range(4):
        policy.add_class_member("pay", "sites", Flow(remote=f"192.0.2.{n}"))
    asked = []
    monkeypatch.setattr(policy, "_grants", lambda owner: asked.append(owner) or GRANTS[owner])
    policy.settle()
    assert asked == ["pay"]


def test_of_two_equal_claims_the_earlier_in_the_assignment_wins_and_the_other_waits(policy, dataplane):
    policy.add_class("vpn", "b", 1_000_000)
    policy.add_class("pay", "a", 1_000_000)
    late = policy.add_class_member("vpn", "b", WEB)
    assert late.active
    early = policy.add_class_member("pay", "a", WEB)
    assert early.active
    assert labels(dataplane) == dict.fromkeys(dataplane.state.members, "pay/a")
    assert policy.list("vpn")["classes"][0]["members"][0]["active"] is False
    policy.withdraw("pay")
    assert policy.list("vpn")["classes"][0]["members"][0]["active"] is True
    assert dataplane.state.classes[dataplane.classify(PACKET)].label == "vpn/b"


def test_priority_goes_before_position(policy, dataplane):
    for owner in ("pay", "gold"):
        policy.add_class(owner, "c", 1_000_000)
        policy.add_class_member(owner, "c", WEB)
    assert set(labels(dataplane).values()) == {"gold/c"}


def test_the_narrower_range_of_ports_wins_its_ports_only(policy, dataplane):
    policy.add_class("pay", "wide", 1_000_000)
    policy.add_class("gold", "wide", 1_000_000)
    policy.add_class("vpn", "narrow", 1_000_000)
    policy.add_class_member("pay", "wide", Flow(remote_port="1-100"))
    policy.add_class_member("vpn", "narrow", Flow(remote_port="50-60"))
    policy.add_class_member("gold", "wide", Flow(remote_port="1-1000"))
    at = {
        port: dataplane.state.classes[dataplane.classify(Packet(6, "10.0.0.1", "192.0.2.1", 1, port))].label
        for port in (1, 49, 50, 60, 61, 100, 101, 1000)
    }
    assert at == {
        1: "pay/wide", 49: "pay/wide", 50: "vpn/narrow", 60: "vpn/narrow", 61: "pay/wide", 100: "pay/wide",
        101: "gold/wide", 1000: "gold/wide",
    }  # fmt: skip


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


def labels_of(state):
    return {match: state.classes[i].label for match, i in state.members.items()}


def test_withdraw_removes_all_of_the_owner_and_nothing_else(policy, dataplane):
    for owner in ("pay", "vpn"):
        policy.add_class(owner, "c", 1_000_000)
        policy.add_class_member(owner, "c", Flow(remote="192.0.2.1" if owner == "pay" else "192.0.2.2"))
    policy.withdraw("pay")
    assert set(labels(dataplane).values()) == {"vpn/c"}
    assert [c["owner"] for c in policy.list()["classes"]] == ["vpn"]


def test_a_member_with_a_duration_ends_by_the_clock(policy, dataplane, clock):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", WEB, duration=60)
    assert policy.tick() == 60
    clock.now += 59
    assert policy.tick() == 1
    assert dataplane.state.members
    policy.add_class_member("pay", "c", WEB, duration=60)
    clock.now += 59
    assert policy.tick() == 1
    clock.now += 1
    assert policy.tick() is None
    assert not dataplane.state.members


def test_a_host_is_followed_through_its_answers(policy, dataplane, clock):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    policy.add_class_member("pay", "c", Flow(host="*.cdn.example", proto="udp"))
    assert policy.hosts_wanted() == {"tv.example", "*.cdn.example"}
    assert not dataplane.state.members
    policy.learn("tv.example", "192.0.2.1", 5)
    policy.learn("tv.example", "2001:db8::1", 5)
    policy.learn("a.b.cdn.example", "192.0.2.7", 5)
    policy.learn("cdn.example", "192.0.2.8", 5)
    policy.learn("other.example", "192.0.2.9", 5)
    assert {m.remote for m in dataplane.state.members} == {"192.0.2.1", "2001:db8::1", "192.0.2.7"}
    clock.now += 1000
    policy.learn("tv.example", "192.0.2.2", 5)
    clock.now += 900
    policy.tick()
    assert {m.remote for m in dataplane.state.members if m.proto is None} == {"192.0.2.2"}
    clock.now += 9000
    policy.tick()
    assert {m.remote for m in dataplane.state.members if m.proto is None} == {"192.0.2.2"}, "the last is kept"


def test_answers_are_bounded_and_nonsense_is_not_believed(policy, dataplane):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    for address in ("127.0.0.1", "224.0.0.1", "0.0.0.0", "::1", "::ffff:192.0.2.1", "192.0.2.0/24", "x", "fe80::1"):
        policy.learn("tv.example", address, 60)
    assert not dataplane.state.members
    for n in range(300):
        policy.learn("tv.example", f"10.0.{n // 256}.{n % 256}", 60 + n)
    assert len(dataplane.state.members) == 64


def test_two_hosts_with_one_address_are_settled_like_any_equal_claims(policy):
    for owner, host in (("pay", "a.example"), ("gold", "b.example")):
        policy.add_class(owner, "c", 1_000_000)
        policy.add_class_member(owner, "c", Flow(host=host))
        policy.learn(host, "192.0.2.1", 60)
    policy.learn("a.example", "192.0.2.2", 60)
    (member,) = policy.list("pay")["classes"][0]["members"]
    assert member["active"], "one of its two addresses is its own"
    assert member["addresses"] == ["192.0.2.1", "192.0.2.2"]


def test_a_restarted_agent_goes_on_with_the_ledger(policy, ledger, clock, dataplane):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    policy.learn("tv.example", "192.0.2.1", 60)
    policy.add_class_member("pay", "c", WEB, duration=100)
    policy.begin("vpn")
    policy.add_class("vpn", "d", 1_000_000)
    twin = MemoryDataplane()
    again = Policy(twin, LINE, ledger, GRANTS.__getitem__, clock)
    again.restore()
    assert twin.state == dataplane.state
    assert again.list() == policy.list()
    again.ready("vpn")
    assert again.list() == policy.list()


@pytest.mark.parametrize(
    "text",
    ["{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "classes": [[1]], "members": [], "addresses": {}}',
     '{"format":1,"classes":[],"members":[["a","b",{"remote":"x"},1,null]],"addresses":{},"rounds":{}}',
     '{"format":1,"classes":[],"members":[["a","b",{"remote":"::1"},1,null]],"addresses":{},"rounds":{}}'],
)  # fmt: skip
def test_a_ledger_that_cannot_be_understood_is_a_clean_start(dataplane, ledger, clock, caplog, text):
    ledger.text = text
    policy = Policy(dataplane, LINE, ledger, GRANTS.__getitem__, clock)
    policy.restore()
    assert not policy.list()["classes"]
    assert "starting with nothing held" in caplog.text


def test_status_tells_what_is_left(policy):
    policy.add_class("pay", "c", 1_000_000)
    status = policy.status()
    assert status["left"] == {"down": 5_800_000, "up": 5_800_000}
    assert status["classes"][0]["class"] == "c"
