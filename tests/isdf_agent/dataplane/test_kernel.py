"""The kernel's dataplane under real traffic: rates, shares, changes without loss, both families and directions."""

import pytest

pytestmark = pytest.mark.system

SERVER4, OTHER4, SERVER6 = "198.51.100.1", "198.51.100.2", "2001:db8:99::1"
CLIENT4, CLIENT6 = "192.168.1.2", "2001:db8:1::2"
PAYLOAD = 1448 / 1514  # of a full packet in TCP with timestamps over Ethernet, IPv4


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
