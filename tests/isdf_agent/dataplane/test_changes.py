"""Changes, deaths and refusals: no packet is lost, nothing is rebuilt, what was there is there again."""

import os
import re
import signal
import time

import pytest

pytestmark = pytest.mark.system

CLIENT6, SERVER6 = "2001:db8:1::2", "2001:db8:99::1"


def until(condition, seconds=20):
    """Wait for a condition by asking again and again; what never comes is a failure."""
    deadline = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < deadline, "it did not come"
    return got


def stream(home, source, sink, address, per_second, count=1 << 40):
    """A stream of numbered datagrams that has begun to arrive, and a function that ends it: (sent, received, late)."""
    receiver = home.traffic(sink, "udp-sink", address, 7000)
    sender = home.traffic(source, "udp-send", address, 7000, per_second, count)

    def end():
        sent = sender.ask()["sent"]
        got = until(lambda: (got := receiver.ask())["highest"] >= sent - 1 and got)
        return sent, got["received"], got["late"]

    return receiver, end


def wait_for_more(receiver, count=8):
    target = receiver.ask()["received"] + count
    until(lambda: receiver.ask()["received"] >= target)


def test_no_packet_is_lost_or_overtaken_by_any_change(home):
    agent = home.agent()
    down, end_down = stream(home, home.server, home.client, CLIENT6, 60)
    up, end_up = stream(home, home.client, home.server, SERVER6, 60)
    member = {"proto": "udp", "remote": "2001:db8::/32"}

    def change(*verb):
        answer = agent(*verb)
        assert not (isinstance(answer, dict) and "type" in answer), answer
        wait_for_more(down)
        wait_for_more(up)
        return answer

    change("add_class", "pay", "sites", "200kBps")
    lease = change("add_class_member", "pay", "sites", member)["id"]
    change("add_class", "pay", "sites", "100kBps")
    change("add_class", "pay", "sites", "300kBps", "500kBps")
    change("add_class_member", "pay", "sites", {"remote_port": "1-9"})
    change("remove_class_member", "pay", lease)
    change("add_class", "pay", "more", "100kBps")
    change("add_class_member", "pay", "more", member)
    change("begin", "pay")
    change("add_class", "pay", "sites", "250kBps")
    change("add_class_member", "pay", "sites", member)
    change("ready", "pay")
    change("remove_class", "pay", "sites")
    change("withdraw", "pay")
    for end in (end_down, end_up):
        sent, received, late = end()
        assert received == sent
        assert late == 0


def test_a_class_that_goes_delivers_what_is_queued_in_it(home):
    agent = home.agent()
    agent("add_class", "pay", "slow", "1kBps")
    agent("add_class_member", "pay", "slow", {"proto": "udp"})
    _, end = stream(home, home.server, home.client, CLIENT6, 1000, count=12)
    until(lambda: agent("status")["classes"][0]["down_packets"] == 12)  # 12 kB are twelve seconds of this class
    agent("withdraw", "pay")
    assert end() == (12, 12, 0)
    until(lambda: "1:20 " not in home.router.run("tc class show dev ifb-isdf; tc class show dev wan"))


def kernel_state(home):
    """Everything that would show a rebuild: handles of rules, chains and maps, qdiscs and classes; without counts."""
    rules = home.router.run("nft -a list table inet isdf")
    queues = home.router.run(
        "tc qdisc show; tc class show dev wan; tc class show dev ifb-isdf; tc filter show dev br-lan egress"
    )
    return re.sub(r"packets \d+ bytes \d+", "", rules), sorted(re.sub(r"direct_\w+ \d+", "", queues).splitlines())


def test_an_agent_killed_and_started_again_rebuilds_nothing(home):
    agent = home.agent()
    down, end = stream(home, home.server, home.client, CLIENT6, 60)
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"proto": "udp"})
    agent("add_class_member", "pay", "sites", {"host": "tv.example", "remote_port": "80-90"})
    agent("learn", "tv.example", "198.51.100.1", 60)
    agent("add_class_member", "pay", "sites", {})
    wait_for_more(down)
    before, counted = kernel_state(home), agent("status")["classes"][0]["down_packets"]
    assert counted > 0
    agent.kill()
    wait_for_more(down)
    again = home.agent()
    assert again.start == {}
    assert kernel_state(home) == before
    wait_for_more(down)
    assert again("status")["classes"][0]["down_packets"] > counted + 8
    sent, received, _ = end()
    assert received == sent
    assert again("list") == agent_list_with(again)
    again("withdraw", "pay")
    assert "flow_" not in home.router.run("nft list table inet isdf")


def agent_list_with(agent):
    (c,) = agent("list")["classes"]
    assert sorted(len(m["flow"]) for m in c["members"]) == [0, 1, 2]
    return {"classes": [c]}


def test_libnftables_comes_into_the_agent_with_its_first_change_and_with_no_adoption(home):
    def libraries(agent):
        with open(f"/proc/{agent.pid}/maps") as file:
            text = file.read()
        return [name for name in ("libnftables", "_ctypes") if name in text]

    agent = home.agent()
    home.router.run("nft flush chain inet isdf forward")
    agent("repair")
    assert "goto up" in home.router.run("nft list table inet isdf")
    assert libraries(agent) == []
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    assert libraries(agent) == ["libnftables", "_ctypes"]
    agent.kill()
    home.router.run("nft delete table inet isdf")
    assert libraries(home.agent()) == []
    assert "198.51.100.1" in home.router.run("nft list table inet isdf")


def test_a_lost_ledger_is_a_clean_start(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    agent.kill()
    home.ledger.write_text('{"format": 1, "cla')
    again = home.agent()
    assert again("list") == {"classes": []}
    assert "198.51.100.1" not in home.router.run("nft list table inet isdf")
    assert "1:20 " not in home.router.run("tc class show dev wan; tc class show dev ifb-isdf")


def test_the_link_worker_may_be_killed_at_any_time(home):
    agent = home.agent()
    os.kill(agent("worker"), signal.SIGKILL)
    assert agent("add_class", "pay", "sites", "200kBps")["rate"] == 1_600_000
    os.kill(agent("worker"), signal.SIGSTOP)
    os.kill(agent("worker"), signal.SIGKILL)
    assert agent("add_class", "pay", "sites", "100kBps")["rate"] == 800_000
    assert "rate 800Kbit" in home.router.run("tc class show dev wan")


def test_a_foreign_root_qdisc_is_left_alone_and_named(home):
    home.router.run("tc qdisc add dev wan root handle 5: tbf rate 5mbit burst 5kb latency 50ms")
    agent = home.agent()
    answer = agent("add_class", "pay", "sites", "200kBps")
    assert answer["type"] == "kernel-refused"
    assert "root qdisc tbf 5:" in answer["detail"]
    assert agent("list") == {"classes": []}
    assert "tbf 5:" in home.router.run("tc qdisc show dev wan")
    assert "ifb" not in home.router.run("ip link")
    home.router.run("tc qdisc del dev wan root")
    assert agent("add_class", "pay", "sites", "200kBps")["class"] == "sites"
    assert "class_2" in home.router.run("nft list table inet isdf")


def test_teardown_leaves_the_kernel_as_it_was(home):
    def everything():
        return home.router.run("nft list ruleset; ip -o link; tc qdisc show; tc filter show dev br-lan egress")

    home.router.run(
        "tc qdisc add dev guest clsact; tc filter add dev guest ingress protocol ip u32 match u32 0 0 classid 1:"
    )
    before = everything()
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    assert everything() != before
    assert agent("teardown") is None
    assert everything() == before


def test_a_flushed_ruleset_is_back_with_the_next_change(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    home.router.run("nft flush ruleset")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.2"})
    listing = home.router.run("nft list table inet isdf")
    assert "198.51.100.1" in listing
    assert "198.51.100.2" in listing


def test_lost_queues_are_back_with_the_next_class(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    home.router.run("tc qdisc del dev wan root; tc qdisc del dev br-lan clsact; ip link del ifb-isdf")
    agent("add_class", "pay", "more", "100kBps")
    assert "rate 1600Kbit" in home.router.run("tc class show dev wan")
    assert "rate 1600Kbit" in home.router.run("tc class show dev ifb-isdf")
    assert "Redirect to device ifb-isdf" in home.router.run("tc filter show dev br-lan egress")


def test_bits_of_the_connection_mark_outside_the_mask_stay_as_they_are(home):
    home.router.run("""
        nft add table inet other
        nft 'add chain inet other pre { type filter hook prerouting priority -160 ; }'
        nft add rule inet other pre ct mark set ct mark or 0x00100701
    """)
    home.agent(MARK_MASK="0x0000f8f0")
    down, end = stream(home, home.server, home.client, CLIENT6, 200)
    wait_for_more(down)
    marks = {int(m) for m in re.findall(r"mark=(\d+)", home.router.run("conntrack -f ipv6 -L 2>/dev/null"))}
    end()
    assert marks
    # Four bits of the bucket are 4 to 7, the one that says "assigned" is 11; the rest is the other program's.
    assert {mark & ~0xF0 for mark in marks} == {0x00100F01}


def test_a_wan_device_that_went_and_came_back_as_another_is_shaped_again(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    home.router.run("ip link del wan")
    assert agent("repair")["type"] == "kernel-refused"
    home.router.run("ip link add wan type veth peer name access; ip link set wan up")
    assert "htb" not in home.router.run("tc qdisc show dev wan")
    agent("repair")
    assert "rate 1600Kbit" in home.router.run("tc class show dev wan")
