"""A home: its router, which boots like OpenWrt, and the clients behind it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

from . import openwrt_parts, plan
from .host import FILES, Host, Process, wait_until
from .network import batch, move
from .wire import Wire

# What OpenWrt's /etc/init.d/boot makes in its memory file system, where /var and /run are; its firewall; its settings
# of connection tracking, which a kernel with modules has only after the firewall has asked for it.
_BOOT = """
mkdir -p /var/run /var/log /var/lock /var/state /var/etc /var/lib /var/dhcp /tmp/resolv.conf.d
mkdir -p -m 0755 /var/run/ubus
chown ubus:ubus /var/run/ubus
/sbin/fw4 start
echo 1 > /proc/sys/net/netfilter/nf_conntrack_acct
echo 60 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout
echo 7440 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established
"""
_SERVICES = """
for script in /etc/rc.d/S*; do
	[ ! -e "$script" ] || "/etc/init.d/${script##*/S[0-9][0-9]}" boot
done
"""
_PORTS = ("wan", *(member.port for member in plan.MEMBERS))


class Router(Host):
    """A home's iProM. Its /etc, /usr and /lib are flash and outlive a reboot; /tmp, /var and /run do not."""

    def __init__(self, pid: int, home: plan.HomePlan) -> None:
        super().__init__(f"{home.name}.router", pid)
        self.home = home
        self.dnsmasq: Process | None = None
        self.procd: Process | None = None

    def install_system(self) -> None:
        """The files that a new router has."""
        self.copy(FILES / "router", "/")
        for place in ("table-pre", "table-post", "chain-pre/input", "chain-pre/forward", "chain-pre/output"):
            self.path(f"/usr/share/nftables.d/{place}").mkdir(parents=True, exist_ok=True)
        for place in ("/etc/nftables.d", "/etc/init.d", "/etc/rc.d", "/usr/share/acl.d"):
            self.path(place).mkdir(parents=True, exist_ok=True)
        openwrt_parts.install(self)
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver ::1\n")
        self.write("/etc/dnsmasq.conf", _dnsmasq())

    def boot(self) -> None:
        """Bring the network, the firewall and the name server up."""
        batch(self, ["link set lo up", *plan.router(self.home)])
        self.run(["sh", "-ec", _BOOT])
        self.dnsmasq = self.daemon("dnsmasq", ["dnsmasq", "--keep-in-foreground", "--conf-file=/etc/dnsmasq.conf"])
        wait_until(lambda: self.path("/tmp/run/dnsmasq.pid").exists(), 10, f"dnsmasq on {self.name}")

        self.procd = self.daemon("procd", openwrt_parts.procd())
        wait_until(self._bus_answers, 10, f"procd on {self.name}")
        self.run(["sh", "-ec", _SERVICES])

    def _bus_answers(self) -> bool:
        if not self.path("/tmp/run/ubus/ubus.sock").exists():
            return False
        return self.run(["ubus", "-S", "list", "service"], check=False).returncode == 0

    def ubus(self, *words: str, timeout: float = 60) -> dict:
        """`ubus(...)` of words as `"call", "isdf", "status"`; the reply, {} if there is none."""
        said = self.run(["ubus", "-S", *words], timeout=timeout).stdout.strip()
        return json.loads(said) if said else {}

    def start_agent(self) -> None:
        """Start isdf-agent now and at each boot, and wait until it is on the bus."""
        self.run(["/etc/init.d/isdf-agent", "enable"])
        self.run(["/etc/init.d/isdf-agent", "start"])
        wait_until(lambda: self.run(["ubus", "-S", "list", "isdf"], check=False).returncode == 0, 10, "the agent")

    def log(self) -> str:
        """What procd's services have printed since the boot."""
        return self.read("/var/log/messages")

    def fw4(self, action: str = "reload") -> None:
        """`fw4 reload`: the firewall anew from /etc/config/firewall; no other table is touched."""
        self.run(["fw4", action])


class Home:
    """`router`, `client(1)`, `client(2)` on the ports of br-lan, `guest` in the guest LAN."""

    def __init__(self, number: int, hosts: dict[str, Host], wire: Wire, again: Callable[[str], int]) -> None:
        self.plan = plan.HomePlan(number)
        self.name = self.plan.name
        self.router: Router = hosts["router"]
        self._clients, self._wire, self._again = hosts, wire, again

    def client(self, number: int) -> Host:
        return self._clients[f"client{number}"]

    @property
    def guest(self) -> Host:
        return self._clients["guest"]

    def install(self) -> None:
        self.router.install_system()
        for member in plan.MEMBERS:
            servers = self.plan.inside(member.network, 1)
            text = "".join(f"nameserver {server}\n" for server in servers) + "options timeout:2\n"
            self._clients[member.name].write("/etc/resolv.conf", text)

    def reboot(self) -> None:
        """Power off without warning, and boot: every process is gone, memory and the kernel's state are empty."""
        router = self.router
        old = Host(router.name, router.pid)
        new = self._again(old.name)
        wait_until(lambda: not old.kill(), 5, f"the end of all processes on {old.name}")
        router.close()
        router.pid = new
        move(_PORTS, old, router)
        os.kill(old.pid, signal.SIGKILL)
        router.boot()

    def loss(self, percent: float) -> None:
        """Lose `percent` of the frames on this home's line, each way."""
        self._wire.lose(self.name, percent)

    def delay(self, milliseconds: float) -> None:
        """Keep each frame on this home's line for so long, each way."""
        self._wire.delay(self.name, milliseconds)

    def unplug(self) -> None:
        """The line is dead: the router's `wan` has no carrier."""
        self._wire.down(self.name)

    def plug(self) -> None:
        self._wire.up(self.name)


def _dnsmasq() -> str:
    servers = "".join(f"server={address}\n" for address in plan.DNS)
    return f"no-resolv\n{servers}local-service\nuser=dnsmasq\npid-file=/var/run/dnsmasq.pid\ncache-size=1000\n"
