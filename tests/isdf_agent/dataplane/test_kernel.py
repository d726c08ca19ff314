"""The kernel's dataplane under real traffic: rates and shares in both directions and both families."""

import json
import random

import pytest

from isdf.model import Line
from isdf_agent.dataplane.memory import MemoryDataplane, Packet
from isdf_agent.dataplane.port import BASE
from isdf_agent.policy.grants import Grant, Limit
from isdf_agent.policy.ledger import MemoryLedger
from isdf_agent.policy.policy import Policy

pytestmark = [pytest.mark.system, pytest.mark.alone]

SERVER4, OTHER4, SERVER6 = "198.51.100.1", "198.51.100.2", "2001:db8:99::1"
PAYLOAD = 1448 / 1514  # of a full packet of TCP with timestamps over Ethernet, IPv4
PAYLOAD6 = 1428 / 1514


def downloads(home, *addresses):
    for address in set(addresses):
        home.traffic(home.server, "send", address, 80)
    return [home.traffic(home.client, "receive", address, 80) for address in addresses]


def rates(streams, seconds=4.0, settle=3.0):
    """Payload rates in kB/s of streams, measured at the same time, after they had time to settle."""
    for wait in (settle, seconds):
        for stream in streams:
            stream.process.stdin.write(f'{{"seconds": {wait}}}\n')
        measured = [stream.tell()["kBps"] for stream in streams]
    return measured


def test_two_downloads_share_the_base_and_one_that_is_in_a_class_gets_its_rate(home):
    agent = home.agent()
    a, b = downloads(home, SERVER4, OTHER4)
    before = rates([a, b])
    assert before == pytest.approx([75 * PAYLOAD] * 2, rel=0.1)
    agent("add_class", "pay", "sites", "200kBps")
    assert agent("add_class_member", "pay", "sites", {"remote": SERVER4})["active"]
    after = rates([a, b])
    assert after == pytest.approx([200 * PAYLOAD, 150 * PAYLOAD], rel=0.07)
    agent("add_class", "pay", "sites", "100kBps")
    assert rates([a, b]) == pytest.approx([100 * PAYLOAD, 150 * PAYLOAD], rel=0.07)
    agent("withdraw", "pay")
    assert rates([a, b]) == pytest.approx([75 * PAYLOAD] * 2, rel=0.1)


def test_up_and_down_have_rates_of_their_own_and_a_host_is_followed_to_both_families(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "400kBps", None, "300kBps")
    agent("add_class_member", "pay", "sites", {"host": "tv.example"})
    agent("learn", "tv.example", SERVER6, 60)
    agent("learn", "tv.example", SERVER4, 60)
    home.traffic(home.server, "send", SERVER6, 80)
    home.traffic(home.server, "sink", OTHER4, 81)
    sink = home.traffic(home.server, "sink", SERVER4, 81)
    down = home.traffic(home.client, "receive", SERVER6, 80)
    home.traffic(home.client, "push", SERVER4, 81)
    # Acknowledgements of the download go up in the same class: 66 to 86 bytes for two packets.
    assert rates([down, sink]) == pytest.approx([400 * PAYLOAD6, 300 * PAYLOAD], rel=0.07)


def test_traffic_of_the_router_and_between_lans_is_not_shaped(home):
    home.agent()
    home.traffic(home.router, "send", "192.168.1.1", 80)
    home.traffic(home.guest, "send", "192.168.2.2", 80)
    own = home.traffic(home.client, "receive", "192.168.1.1", 80)
    guest = home.traffic(home.client, "receive", "192.168.2.2", 80)
    assert min(rates([own, guest], 1.0, 0.2)) > 5000


def test_both_lans_share_one_line(home):
    home.agent()
    home.traffic(home.server, "send", SERVER4, 80)
    a = home.traffic(home.client, "receive", SERVER4, 80)
    b = home.traffic(home.guest, "receive", SERVER4, 80)
    assert rates([a, b]) == pytest.approx([75 * PAYLOAD] * 2, rel=0.1)


def test_the_kernel_classifies_as_its_twin_in_memory(home):
    chance = random.Random(4)
    agent = home.agent()
    twin = MemoryDataplane()
    grant = Grant({"add_class": Limit(), "add_class_member": Limit()})
    policy = Policy(twin, Line(8_000_000, 8_000_000, 1_200_000, 1_200_000), MemoryLedger(), lambda owner: grant, {}.get)
    policy.restore()
    for name in "abcde":
        for each in (agent, lambda verb, *args: getattr(policy, verb)(*args)):
            each("add_class", "pay", name, "50kBps")
    ports = [None, "5000", "5000-5004", "5003-5010", "1-65535"]
    for _ in range(40):
        flow = {
            "proto": chance.choice([None, "udp", "tcp"]),
            "remote": chance.choice([None, SERVER4, OTHER4, "198.51.0.0/16", "198.51.100.0/30"]),
            "local": chance.choice([None, None, "192.168.1.2", "192.168.0.0/16"]),
            "remote_port": chance.choice(ports),
            "local_port": chance.choice([None, None, "6000-6002", "6001"]),
        }
        args = "pay", chance.choice("abcde"), {k: v for k, v in flow.items() if v}
        policy.add_class_member(*args)
        assert "type" not in agent("add_class_member", *args)
    packets = [
        (local_port, address, port)
        for address in (SERVER4, OTHER4, SERVER6)
        for port in (4999, 5000, 5002, 5003, 5004, 5010, 5011)
        for local_port in (5999, 6000, 6001, 6002, 6003)
    ]
    meant = {}
    for local_port, address, port in packets:
        local = "2001:db8:1::2" if ":" in address else "192.168.1.2"
        number = twin.classify(Packet(17, local, address, local_port, port))
        meant[number] = meant.get(number, 0) + 1
    spray = home.traffic(home.client, "udp-spray", "0.0.0.0", 0)
    spray.ask_all = json.dumps(packets)
    spray.process.stdin.write(spray.ask_all + "\n")
    assert spray.tell() == {"sent": True}
    status = agent("status")
    counted = {c["id"]: c["up_packets"] for c in status["classes"] if c["up_packets"]}
    counted[BASE] = status["base"]["up_packets"]
    assert {i: n for i, n in counted.items() if n} == meant
    assert len(meant) >= 4
