"""Two claims to the same traffic: who has it, and that the other waits."""

from samples import PACKET, PLACES, WEB, labels

from isdf.model import Flow
from isdf_agent.dataplane.memory import Packet
from isdf_agent.policy.grants import Grants


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


def test_two_hosts_with_one_address_are_settled_like_any_equal_claims(policy):
    for owner, host in (("pay", "a.example"), ("gold", "b.example")):
        policy.add_class(owner, "c", 1_000_000)
        policy.add_class_member(owner, "c", Flow(host=host))
        policy.learn(host, "192.0.2.1", 60)
    policy.learn("a.example", "192.0.2.2", 60)
    (member,) = policy.list("pay")["classes"][0]["members"]
    assert member["active"], "one of its two addresses is its own"
    assert member["addresses"] == ["192.0.2.1", "192.0.2.2"]


def test_the_place_of_a_service_is_looked_up_once_for_all_its_members_and_what_it_may_is_not(policy, monkeypatch):
    policy.add_class("pay", "sites", 1_000_000)
    for n in range(4):
        policy.add_class_member("pay", "sites", Flow(remote=f"192.0.2.{n}"))
    asked = []
    monkeypatch.setattr(policy, "_grants", Grants(None, lambda owner: asked.append(owner) or PLACES[owner]))
    policy.settle()
    assert asked == ["pay"]


def test_a_member_inside_a_wider_one_of_its_class_is_active(policy):
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", Flow(remote_port="1-100"))
    policy.add_class_member("pay", "sites", Flow(remote_port="50-60"))
    assert [m["active"] for m in policy.list("pay")["classes"][0]["members"]] == [True, True]
