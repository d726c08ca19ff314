"""What somebody else did to our state in the kernel: the next change, or a repair, mends it and loses nothing."""

import re

import pytest
from damages import PARTS, WHOLES, queues, rules

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def home(lasting_home):
    return lasting_home


@pytest.fixture(scope="module")
def agent(home):
    """One that only changes bring to look."""
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    agent("add_class", "pay", "more", "100kBps")
    agent("add_class_member", "pay", "more", {"remote": "198.51.100.2"})
    return agent


def handle(home):
    return re.search(r"chain class_3 \{ # handle (\d+)", home.router.run("nft -a list table inet isdf"))[1]


@pytest.mark.parametrize("what", PARTS)
def test_a_change_that_meets_damage_is_carried_out_and_what_was_right_stays(home, agent, what):
    agent("repair")
    before, kept = rules(home), handle(home)
    home.router.run(PARTS[what])
    assert rules(home) != before
    lease = agent("add_class_member", "pay", "sites", {"remote": "198.51.100.3"})
    assert "type" not in lease
    assert "198.51.100.3" in home.router.run("nft list table inet isdf")
    assert agent("remove_class_member", "pay", lease["id"]) is None
    agent("repair")
    assert rules(home) == before
    assert handle(home) == kept


@pytest.mark.parametrize("what", WHOLES)
def test_a_change_that_meets_a_ruin_makes_all_of_it_anew(home, agent, what):
    agent("repair")
    before = rules(home)
    home.router.run(WHOLES[what])
    lease = agent("add_class_member", "pay", "sites", {"remote": "198.51.100.3"})
    assert "type" not in lease
    agent("remove_class_member", "pay", lease["id"])
    agent("repair")
    assert rules(home) == before


def test_what_the_worker_remembers_of_the_queues_is_not_believed_in_a_repair(home, agent):
    agent("repair")
    before = queues(home)
    agent("add_class", "pay", "sites", "210kBps")
    home.router.run("tc qdisc del dev wan root")
    agent("add_class", "pay", "sites", "200kBps")
    home.router.run("tc qdisc del dev ifb-isdf root; tc qdisc del dev br-lan clsact; ip link set ifb-isdf down")
    agent("repair")
    assert queues(home) == before
