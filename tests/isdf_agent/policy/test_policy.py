"""The verbs of the control API over the in-memory dataplane."""

import pytest
from samples import PACKET, WEB

from isdf.errors import InvalidError, KernelError, NotFoundError
from isdf.model import Rate
from isdf_agent.dataplane.memory import Packet
from isdf_agent.dataplane.port import BASE


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


def test_status_tells_what_is_left(policy):
    policy.add_class("pay", "c", 1_000_000)
    status = policy.status()
    assert status["left"] == {"down": 5_800_000, "up": 5_800_000}
    assert status["classes"][0]["class"] == "c"
