"""Faults that can be ordered: loss, delay, a pulled plug, killed processes, a reboot."""

import re
import signal

import pytest

from premises import plan
from premises.host import wait_until

pytestmark = pytest.mark.system

MIRROR = f"icmp:{plan.MIRROR_A[0]}"


@pytest.fixture(autouse=True)
def mended(net):
    """Each test finds both lines whole, and in use, so that the routers know their neighbours."""
    net.wire.mend()
    for home in net.homes:
        wait_until(lambda home=home: home.client(1).reaches(MIRROR)[MIRROR], 5, f"the line of {home.name}")
    yield
    net.wire.mend()


def ping(host, count):
    """Answers and the shortest round trip in ms of `count` pings to mirror A."""
    said = host.run(
        ["ping", "-n", "-q", "-c", str(count), "-i", "0.004", "-W", "1", plan.MIRROR_A[0]], check=False
    ).stdout
    times = re.search(r"= ([\d.]+)/", said)
    return int(re.search(r"(\d+) received", said)[1]), float(times[1]) if times else None


def test_loss_is_of_this_home_alone_and_can_be_taken_away(net):
    client = net.home(1).client(1)
    net.home(1).loss(100)
    assert not client.reaches(MIRROR)[MIRROR]
    assert ping(net.home(2).client(1), 20)[0] == 20
    net.home(1).loss(20)
    wait_until(lambda: client.reaches(MIRROR)[MIRROR], 10, "a ping that passes")  # the neighbour had been given up
    assert 35 < ping(client, 100)[0] < 90  # 64 % of the round trips are whole, and six times their deviation
    net.home(1).loss(0)
    assert ping(client, 50)[0] == 50


def test_delay_is_kept_each_way_and_traffic_passes_whole(net):
    client = net.home(1).client(1)
    net.home(1).delay(30)
    received, fastest = ping(client, 10)
    assert received == 10
    assert 60 <= fastest < 90
    speed = client.run(["curl", "-4sS", "-r", "0-99999", "-o", "/dev/null", "-w", "%{size_download}",
                        "http://mirror-a.example/600MB", "-m", "2"], check=False)  # fmt: skip
    assert int(speed.stdout) > 50_000
    net.home(1).delay(0)
    assert ping(client, 10)[1] < 30


def test_a_pulled_plug_is_seen_by_the_router(net):
    home = net.home(1)
    home.unplug()
    assert not home.client(1).reaches(MIRROR)[MIRROR]
    assert home.router.run(["cat", "/sys/class/net/wan/carrier"], check=False).stdout.strip() == "0"
    home.plug()
    wait_until(lambda: home.client(1).reaches(MIRROR)[MIRROR], 5, "the line")
    assert home.router.run(["cat", "/sys/class/net/wan/carrier"]).stdout.strip() == "1"


def test_processes_are_killed_by_name_in_their_host_alone(net):
    first, second = net.home(1).router, net.home(2).router
    with first.popen(["sleep", "1234"]) as mine, second.popen(["sleep", "1234"]) as other:
        # What starts them has the words, too, and no command line at all while it becomes `sleep`.
        wait_until(lambda: all("sleep 1234" in router.processes().values() for router in (first, second)), what="both")
        assert len(first.kill("sleep 1234")) == 1
        assert mine.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        other.terminate()
        assert other.wait(5) == -signal.SIGTERM


def test_a_reboot_empties_memory_and_kernel_and_keeps_flash(net):
    home = net.home(1)
    router = home.router
    for name in ("/etc/kept", "/tmp/lost", "/var/lost", "/run/lost", "/usr/lib/isdf/services/kept"):
        router.run(["sh", "-c", f"mkdir -p $(dirname {name}); : > {name}"])
    router.run(["nft", "add", "table", "inet", "isdf"])
    router.run(["tc", "qdisc", "add", "dev", "wan", "root", "tbf", "rate", "1mbit", "burst", "3000", "limit", "9000"])
    sleeper = router.popen(["sleep", "4321"])
    wait_until(lambda: router.find("sleep 4321"), what="a process to run")
    before = router.pid
    home.reboot()
    assert router.pid != before
    assert sleeper.wait(5) != 0
    there = router.run(["sh", "-c", "ls -d /etc/kept /usr/lib/isdf/services/kept /tmp/lost /run/lost"], check=False)
    assert there.stdout.split() == ["/etc/kept", "/usr/lib/isdf/services/kept"]
    assert router.run(["nft", "list", "tables"]).stdout == "table inet fw4\n"
    assert "tbf" not in router.run(["tc", "qdisc"]).stdout
    assert "service" in router.run(["ubus", "list"]).stdout.split()
    for host in (home.client(1), home.guest):
        reached = host.reaches(MIRROR, f"icmp:{plan.MIRROR_A[1]}", "tcp:mirror-b.example:80")
        assert all(reached.values()), (host, reached)
