"""An agent that hears what others do to its state: all of it is back within five seconds, without anybody asking."""

import time

import pytest
from damages import PARTS, QUEUES, WHOLES, queues, rules

pytestmark = pytest.mark.system
DAMAGES = PARTS | WHOLES | QUEUES
SOON = 5.0  # seconds


def until(condition, seconds=SOON):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"


@pytest.fixture(scope="module")
def home(lasting_home):
    return lasting_home


@pytest.fixture(scope="module")
def agent(home):
    agent = home.agent(HEALS="1")
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    agent("add_class_member", "pay", "sites", {"host": "*.cdn.example"})
    agent("add_class", "pay", "more", "100kBps")
    return agent


def state(home):
    return rules(home), queues(home), "isdf_dns" in home.router.run("nft list tables")


def looks(agent):
    """How often the agent was told of a foreign change so far. What was told before the first call is served then."""
    agent("looks")
    return agent("looks")


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_mended(home, agent, what):
    before = state(home)
    home.router.run(DAMAGES[what])
    assert state(home) != before
    until(lambda: state(home) == before)


def test_the_rules_that_log_dns_answers_come_back_too(home, agent):
    listing = home.router.run("nft list table inet isdf_dns")
    home.router.run("nft flush chain inet isdf_dns forward")
    until(lambda: home.router.run("nft list table inet isdf_dns") == listing)


def test_what_the_agent_does_itself_is_no_foreign_change(home, agent):
    until(lambda: state(home)[2])
    before = looks(agent)
    agent("add_class", "pay", "third", "50kBps")
    lease = agent("add_class_member", "pay", "third", {"remote_port": "5-9"})["id"]
    agent("remove_class_member", "pay", lease)
    agent("remove_class", "pay", "third")
    until(lambda: "1:40 " not in home.router.run("tc class show dev wan"))
    assert looks(agent) == before


def test_what_the_agent_mends_is_no_foreign_change(home, agent):
    state_before, before = state(home), looks(agent)
    home.router.run("nft flush chain inet isdf class_2")
    until(lambda: state(home) == state_before)
    assert looks(agent) == before + 1


def test_what_others_do_with_their_own_is_no_concern_of_ours(home, agent):
    before = looks(agent)
    home.router.run("""
        nft 'table inet fw4 { chain other { counter; }; }'; nft delete chain inet fw4 other
        tc filter add dev br-lan egress prio 7 protocol ip u32 match u32 0 0 classid 1:
        tc filter del dev br-lan egress prio 7
        ip link add other type bridge; ip link set other up; tc qdisc add dev other root pfifo
        ip link del other; ip link set guest down; ip link set guest up; ip link set wan down; ip link set wan up
    """)
    assert looks(agent) == before


def test_interfaces_that_go_down_and_up_keep_their_queues(home, agent):
    before = state(home)
    home.router.run("for d in wan br-lan guest; do ip link set $d down; ip link set $d up; done")
    assert state(home) == before


def test_a_lan_device_that_vanishes_and_comes_back_is_shaped_again_and_the_other_all_the_time(home, agent):
    redirected = "Redirect to device ifb-isdf"
    home.router.run("ip link del guest")
    agent("add_class", "pay", "sites", "220kBps")
    assert redirected in home.router.run("tc filter show dev br-lan egress")
    home.router.run("ip link add guest type veth peer name visitor; ip link set guest up")
    until(lambda: redirected in home.router.run("tc filter show dev guest egress"))
    home.router.run("ip link del guest; ip link add guest type bridge")
    until(lambda: redirected in home.router.run("tc filter show dev guest egress"))


def test_a_wan_device_that_is_another_one_now_is_shaped(home, agent):
    home.router.run("ip link set wan name old; ip link add wan type veth peer name access; ip link set wan up")
    until(lambda: "1:20 " in home.router.run("tc class show dev wan"))
    until(lambda: "htb" not in home.router.run("tc qdisc show dev old"))
    home.router.run("ip link del wan; ip link set old name wan")
    until(lambda: "1:20 " in home.router.run("tc class show dev wan") and "error" not in agent("status"))


def test_a_foreign_root_qdisc_is_named_left_alone_and_ours_is_back_when_it_has_gone(home, agent):
    home.router.run("tc qdisc replace dev wan root handle 5: tbf rate 5mbit burst 5kb latency 50ms")
    until(lambda: "error" in agent("status"))
    assert "device wan has the root qdisc tbf 5:" in agent("status")["error"]["detail"]
    assert "tbf 5:" in home.router.run("tc qdisc show dev wan")
    home.router.run("tc qdisc del dev wan root")
    until(lambda: "error" not in agent("status"))
    assert "1:20 " in home.router.run("tc class show dev wan")


def test_an_agent_that_starts_without_a_wan_shapes_it_when_it_comes(home, agent):
    agent.kill()
    home.router.run("ip link set wan name old; nft delete table inet isdf; ip link del ifb-isdf")
    again = home.agent(HEALS="1")
    assert again("status")["error"]["detail"] == "the WAN device wan does not exist"
    assert again("worker") is None
    home.router.run("ip link set old name wan")
    until(lambda: "error" not in again("status"))
    assert "1:20 " in home.router.run("tc class show dev wan; tc class show dev ifb-isdf")
    assert "198.51.100.1" in home.router.run("nft list table inet isdf")
