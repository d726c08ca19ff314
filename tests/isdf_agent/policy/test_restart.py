"""A new agent, and a kernel that is not what it should be: what is there again."""

import pytest
from samples import WEB, policy_of

from isdf.errors import KernelError
from isdf.model import Flow
from isdf_agent.dataplane.memory import MemoryDataplane


def test_a_restarted_agent_goes_on_with_the_ledger(policy, ledger, clock, dataplane):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    policy.learn("tv.example", "192.0.2.1", 60)
    policy.add_class_member("pay", "c", WEB, duration=100)
    policy.begin("vpn")
    policy.add_class("vpn", "d", 1_000_000)
    twin = MemoryDataplane()
    again = policy_of(twin, ledger, clock)
    again.restore()
    assert twin.state == dataplane.state
    assert again.list() == policy.list()
    again.ready("vpn")
    assert again.list() == policy.list()


@pytest.mark.parametrize(
    "text",
    ["{}", '{"format": 1}', '{"format": 2}', '{"format": 2, "classes": [[1]], "members": [], "addresses": {}}',
     '{"format":2,"classes":[],"members":[["a","b",{"remote":"x"},1,null]],"addresses":{},"rounds":{}}',
     '{"format":2,"classes":[],"members":[["a","b",{"remote":"::1"},1,null]],"addresses":{},"rounds":{}}'],
)  # fmt: skip
def test_a_ledger_that_cannot_be_understood_is_a_clean_start(dataplane, ledger, clock, caplog, text):
    ledger.text = text
    policy = policy_of(dataplane, ledger, clock)
    policy.restore()
    assert not policy.list()["classes"]
    assert "starting with nothing held" in caplog.text


def test_a_device_that_is_another_one_now_is_repaired(policy, dataplane):
    policy.add_class("pay", "sites", 1_000_000)
    state, dataplane.state = dataplane.state, type(dataplane.state)()
    policy.repair()
    assert dataplane.state == state


def test_what_the_kernel_refuses_is_told_until_it_is_repaired(policy, dataplane):
    told, adopt = [], dataplane.adopt

    def refuse(line, state):
        raise KernelError("the WAN device wan does not exist")

    dataplane.adopt = refuse
    with pytest.raises(KernelError):
        policy.repair()
    assert policy.status()["error"]["detail"] == "the WAN device wan does not exist"
    policy.on_fault = lambda: told.append("at the start")
    policy.restore()
    assert told == ["at the start"]
    dataplane.adopt = adopt
    policy.repair()
    assert "error" not in policy.status()


def test_a_change_that_the_kernel_refuses_calls_for_repair(policy, dataplane):
    told = []
    policy.on_fault = lambda: told.append(True)

    def refuse(change):
        raise KernelError("nftables refused the change")

    dataplane.apply = refuse
    with pytest.raises(KernelError):
        policy.add_class("pay", "sites", 1_000_000)
    assert told == [True]
