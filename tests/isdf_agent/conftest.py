"""A home in network namespaces of its own: server -- (wan) router (br-lan, guest) -- client. No root needed.

Masquerade and a forward chain that rejects what comes from the WAN unasked stand in for OpenWrt's firewall. Offloads of
the veths are limited to one segment, so that packets are packets. Everything ends with the processes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "dataplane"
FIREWALL = """
table inet fw4 {
    chain forward { type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname { "br-lan", "guest" } accept
        udp dport 7000 accept
    }
    chain srcnat { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
"""
SERVER4, SERVER6 = "198.51.100.1", "2001:db8:99::1"
OTHER4 = "198.51.100.2"
MAC = {name: f"02:00:00:00:00:0{n}" for n, name in enumerate(("wan", "br-lan", "guest", "server", "client", "visitor"))}
CLIENT4, CLIENT6 = "192.168.1.2", "2001:db8:1::2"


class Host:
    """A network namespace, kept by a process that waits for its standard input to close."""

    def __init__(self, beside: "Host | None" = None):
        unshare = ["unshare", "-n"] if beside or os.geteuid() == 0 else ["unshare", "-Urn"]
        enter = beside.enter if beside else []
        self._keeper = subprocess.Popen(
            [*enter, *unshare, "sh", "-c", "echo $$; read -r _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._keeper.stdout.readline().decode().strip()
        own = os.readlink("/proc/self/ns/user") == os.readlink(f"/proc/{self.pid}/ns/user")
        self.enter = ["nsenter", "-t", self.pid, "-n", *([] if own else ["-U", "--preserve-credentials"])]

        # Without it a host is silent in IPv6 for its first one or two seconds (duplicate address detection).
        self.run("echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits")

    def run(self, command, **options):
        """Run a shell command and return what it printed."""
        done = subprocess.run(
            [*self.enter, "sh", "-ec", command], capture_output=True, text=True, timeout=30, **options
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def popen(self, *argv, **options):
        return subprocess.Popen([*self.enter, *argv], **options)

    def close(self):
        self._keeper.communicate()

    def neighbours(self, device, *addresses):
        """Know the hosts of the test from the start: an unanswered first question would stop a stream for a second."""
        for address, mac in addresses:
            self.run(f"ip neigh replace {address} lladdr {mac} nud permanent dev {device}")


class Traffic:
    """A process of traffic.py; lines of JSON come out of it."""

    def __init__(self, host, *args):
        self.process = host.popen(
            sys.executable, str(HERE / "traffic.py"), *map(str, args),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert self.tell() == {"ready": True}

    def tell(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        return self.tell()

    def close(self):
        self.process.kill()
        self.process.communicate()


class Agent:
    """A process with policy and dataplane, as the agent has them (driver.py)."""

    def __init__(self, host, ledger, **environment):
        self._process = host.popen(
            sys.executable, str(HERE / "driver.py"), str(ledger),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, **environment},
        )  # fmt: skip
        self.pid = self._process.pid
        self.start = json.loads(self._process.stdout.readline())

    def __call__(self, verb, *args):
        """The answer of a verb; an error of the project is a dict with `type` and `detail`."""
        self._process.stdin.write(json.dumps([verb, *args]) + "\n")
        return json.loads(self._process.stdout.readline())

    def kill(self):
        self._process.kill()
        self._process.communicate()


class Home:
    def __init__(self, tmp_path):
        self._started = []
        self.ledger = tmp_path / "ledger.json"
        self.router = Host()
        self.client, self.guest, self.server = (Host(self.router) for _ in range(3))
        r = self.router
        r.run(
            f"""
            ip link set lo up
            ip link add br-lan type bridge
            ip link add wan type veth peer name eth0 netns {self.server.pid}
            ip link add lan1 type veth peer name eth0 netns {self.client.pid}
            ip link add guest type veth peer name eth0 netns {self.guest.pid}
            ip link set lan1 master br-lan
            ip addr add 203.0.113.2/24 dev wan; ip addr add 2001:db8:0::2/64 dev wan nodad
            ip addr add 192.168.1.1/24 dev br-lan; ip addr add 2001:db8:1::1/64 dev br-lan nodad
            ip addr add 192.168.2.1/24 dev guest
            ip link set wan address {MAC["wan"]}; ip link set guest address {MAC["guest"]}
            ip link set br-lan address {MAC["br-lan"]}
            for d in wan lan1 guest br-lan; do ip link set $d up gso_max_segs 1; done
            ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:0::1
            echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            nft -f -""",
            input=FIREWALL,
        )
        self.server.run(f"""
            ip link set lo up; ip link set eth0 up gso_max_segs 1 address {MAC["server"]}
            ip addr add 203.0.113.1/24 dev eth0; ip addr add 2001:db8:0::1/64 dev eth0 nodad
            ip addr add {SERVER4}/32 dev lo; ip addr add {OTHER4}/32 dev lo; ip addr add {SERVER6}/128 dev lo
            ip -6 route add default via 2001:db8:0::2""")
        self.client.run(f"""
            ip link set lo up; ip link set eth0 up gso_max_segs 1 address {MAC["client"]}
            ip addr add {CLIENT4}/24 dev eth0; ip addr add {CLIENT6}/64 dev eth0 nodad
            ip route add default via 192.168.1.1; ip -6 route add default via 2001:db8:1::1""")
        self.guest.run(f"""
            ip link set eth0 up gso_max_segs 1 address {MAC["visitor"]}; ip addr add 192.168.2.2/24 dev eth0
            ip route add default via 192.168.2.1""")
        r.neighbours("wan", ("203.0.113.1", MAC["server"]), ("2001:db8:0::1", MAC["server"]))
        r.neighbours("br-lan", (CLIENT4, MAC["client"]), (CLIENT6, MAC["client"]))
        r.neighbours("guest", ("192.168.2.2", MAC["visitor"]))
        self.server.neighbours("eth0", ("203.0.113.2", MAC["wan"]), ("2001:db8:0::2", MAC["wan"]))
        self.client.neighbours("eth0", ("192.168.1.1", MAC["br-lan"]), ("2001:db8:1::1", MAC["br-lan"]))
        self.guest.neighbours("eth0", ("192.168.2.1", MAC["guest"]))

    def traffic(self, host, *args):
        self._started.append(Traffic(host, *args))
        return self._started[-1]

    def agent(self, **environment):
        agent = Agent(self.router, self.ledger, **environment)
        self._started.append(agent)
        return agent

    def close(self):
        for thing in reversed(self._started):
            (thing.kill if isinstance(thing, Agent) else thing.close)()
        for host in (self.client, self.guest, self.server, self.router):
            host.close()


@pytest.fixture
def home(tmp_path):
    yield from a_home(tmp_path)


@pytest.fixture(scope="module")
def lasting_home(tmp_path_factory):
    """One for all tests of a module."""
    yield from a_home(tmp_path_factory.mktemp("home"))


def a_home(folder):
    for tool in ("ip", "nft", "tc", "unshare", "nsenter"):
        assert shutil.which(tool), f"{tool} is missing: install iproute2, nftables and util-linux"
    home = Home(folder)
    yield home
    home.close()
