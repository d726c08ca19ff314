"""Answers that pass a real router are heard, and nothing is there while nobody wants them."""

import time

import pytest

pytestmark = pytest.mark.system

SERVER4, OTHER4 = "198.51.100.1", "198.51.100.2"


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come"


def addresses(agent):
    return {m["flow"]["host"]: m["addresses"] for c in agent("list")["classes"] for m in c["members"]}


def test_hosts_are_followed_by_answers_that_pass_and_by_asking(home, tmp_path):
    (tmp_path / "resolv.conf").write_text(f"nameserver {SERVER4}\n")
    home.traffic(home.server, "dns", SERVER4, 53)
    client = home.traffic(home.client, "dns-ask", SERVER4, 53)
    agent = home.agent(RESOLV_CONF=str(tmp_path / "resolv.conf"))
    assert "isdf_dns" not in home.router.run("nft list tables")
    agent("add_class", "pay", "sites", "200kBps")
    by_asking = agent("add_class_member", "pay", "sites", {"host": "tv.example"})
    by_hearing = agent("add_class_member", "pay", "sites", {"host": "*.cdn.example"})
    assert "isdf_dns" in home.router.run("nft list tables")
    until(lambda: addresses(agent)["tv.example"] == [OTHER4])
    assert addresses(agent)["*.cdn.example"] == []
    assert client.ask(name="img.cdn.example") == {"answered": True}
    until(lambda: addresses(agent)["*.cdn.example"] == [OTHER4])
    assert OTHER4 in home.router.run("nft list table inet isdf")
    agent("remove_class_member", "pay", by_asking["id"])
    agent("remove_class_member", "pay", by_hearing["id"])
    assert "isdf_dns" not in home.router.run("nft list tables")


def test_an_agent_that_takes_over_leaves_the_rules_as_they_are(home):
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"host": "*.cdn.example"})
    before = home.router.run("nft -a list table inet isdf_dns")
    agent.kill()
    home.agent()("list")
    assert home.router.run("nft -a list table inet isdf_dns") == before


FORGED = """
import socket
name = b"".join(bytes([len(label)]) + label for label in b"img.cdn.example".split(b".")) + bytes(1)
answer = bytes.fromhex("abcd81800001000100000000") + name + bytes.fromhex("00010001c00c000100010000003c0004c6336442")
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("", 53))
sender.sendto(answer, ("203.0.113.2", 40000))
"""
SEEN = "nft 'table inet seen { chain c { type filter hook prerouting priority -300; udp sport 53 counter; }; }'"


def test_an_answer_that_nobody_asked_for_teaches_nothing(home, tmp_path):
    home.router.run(SEEN)
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"host": "*.cdn.example"})
    (tmp_path / "forged.py").write_text(FORGED)
    home.server.run(f"python3 {tmp_path}/forged.py")
    until(lambda: "packets 1 " in home.router.run("nft list table inet seen"))
    home.traffic(home.server, "dns", SERVER4, 53)
    assert home.traffic(home.client, "dns-ask", SERVER4, 53).ask(name="img.cdn.example") == {"answered": True}
    until(lambda: addresses(agent)["*.cdn.example"])
    assert addresses(agent)["*.cdn.example"] == [OTHER4]
