"""The premises: homes, ISP and Internet of the paper's Figure 2, up at the end of `Premises()` and gone after `close`.

with Premises(homes=2) as net:
    net.home(1).client(1).run(["curl", "-sS", "-o", "/dev/null", "http://mirror-a.example/600MB"])
"""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from isdf.errors import FailedError
from isdf.model import Line

from . import edge, plan, rootfs
from .home import Home, Router
from .host import FILES, Host, Process, wait_until
from .manager import PORT, Manager
from .namespaces import Namespaces
from .network import batch, cables
from .wire import Wire

# An access of 1,000 kB/s, of which 150 kB/s are sold (the paper, section 4.2).
LINE = Line(down=8_000_000, up=8_000_000, base_down=1_200_000, base_up=1_200_000)
IPV4_HOME, IPV6_HOME = 1, 2  # their agents reach the manager by IPv4, by IPv6 alone
_READY = "/run/http.ready"
FILE, FILE_SIZE = "600MB", 600 * 10**6
_EDGE_RULES = """
table inet isp {{
	chain input {{
		type filter hook input priority 0; policy accept;
		tcp dport {port} ip saddr != {manager4} drop
		tcp dport {port} ip6 saddr != {manager6} drop
	}}
	chain forward {{
		type filter hook forward priority 0; policy accept;
		ip6 saddr {home6} ip6 daddr {manager6} tcp dport {served} reject with tcp reset
		ip saddr {home4} ip daddr {manager4} drop
		ip saddr {manager4} ip daddr {home4} drop
	}}
}}
"""


class Premises:
    """`homes` homes with the access `line` each, and everything that they reach. Nothing of it is on this machine's own
    network or file system; it ends with this process at the latest."""

    def __init__(self, homes: int = 2, line: Line = LINE) -> None:
        if not 1 <= homes <= plan.HOMES_MAX:
            raise ValueError(f"{homes} homes are not 1 to {plan.HOMES_MAX}")
        self.line = line
        self._namespaces = Namespaces()
        self.hosts: dict[str, Host] = {}
        self.homes: list[Home] = []
        try:
            self._build(homes)
        except BaseException:
            self.close()
            raise

    def _build(self, homes: int) -> None:
        pids = self._namespaces.hold(plan.hosts(homes))
        for name, pid in pids.items():
            home = plan.HomePlan(int(name[4:].partition(".")[0])) if name.endswith(".router") else None
            self.hosts[name] = Router(pid, home) if home else Host(name, pid)
            self.hosts[name].copy(FILES / "host", "/")
        cables(plan.links(homes), self.hosts)
        self.services_manager = Manager(self.manager)
        self.wire = Wire(self.hosts["wire"], [f"home{number}" for number in range(1, homes + 1)])
        for number in range(1, homes + 1):
            self.homes.append(Home(number, self._of(number), self.wire, self._again))
        commands = plan.commands(homes)
        with ThreadPoolExecutor(8) as pool:
            plain = [name for name in self.hosts if not isinstance(self.hosts[name], Router)]
            list(pool.map(lambda name: batch(self.hosts[name], commands[name]), plain))
        self._start_isp()
        self._start_internet()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_first_boot, self.homes))
        for host, ready in [
            (self.edge, edge.CONTROL),
            (self.dns, "/run/dnsmasq.pid"),
            *((h, _READY) for h in self._web),
        ]:
            wait_until(host.path(ready).exists, 10, f"the server on {host.name}")
        for home in self.homes:
            self.sell(home, self.line.base_down, self.line.base_up)

    def _of(self, number: int) -> dict[str, Host]:
        start = f"home{number}."
        return {name.removeprefix(start): host for name, host in self.hosts.items() if name.startswith(start)}

    def _again(self, name: str) -> int:
        return self._namespaces.hold({name: plan.hosts(len(self.homes))[name]})[name]

    def _start_isp(self) -> None:
        links, queues = [], []
        for home in self.homes:
            ip, tc = edge.setup(home.name)
            links += ip
            queues += tc
        batch(self.edge, links)
        batch(self.edge, queues, "tc")
        manager4, manager6 = plan.MANAGER
        home4, home6 = plan.HomePlan(IPV6_HOME).wan[0], plan.HomePlan(IPV4_HOME).wan[1]
        rules = _EDGE_RULES.format(
            port=edge.PORT, served=PORT, manager4=manager4, manager6=manager6, home4=home4, home6=home6
        )
        self.edge.run(["nft", "-f", "-"], input=rules)
        self.edge.daemon("edge", self.edge.python("premises.edge"))

    def _start_internet(self) -> None:
        for host in self._web:
            host.path("/srv").mkdir(exist_ok=True)
            with host.path(f"/srv/{FILE}").open("wb") as file:
                file.truncate(FILE_SIZE)
            host.write("/srv/index.html", f"{host.name}\n")
            host.daemon("http", host.python("premises.mirror"))
        records = "".join(f"host-record={name},{four},{six},60\n" for name, (four, six) in plan.NAMES.items())
        # What is not in this Internet does not exist, rather than being refused.
        self.dns.write(
            "/etc/dnsmasq.conf", f"no-resolv\nno-hosts\nuser=root\npid-file=/run/dnsmasq.pid\naddress=/#/\n{records}"
        )
        self.dns.daemon("dnsmasq", ["dnsmasq", "--keep-in-foreground", "--conf-file=/etc/dnsmasq.conf"])
        servers = "".join(f"nameserver {address}\n" for address in plan.DNS)
        for name in ("manager", "app", "edge", "core", "mirror-a", "mirror-b", "dns"):
            self.hosts[name].write("/etc/resolv.conf", servers)

    def home(self, number: int) -> Home:
        """Home 1, 2, ..."""
        return self.homes[number - 1]

    def mirror(self, letter: str) -> Host:
        """`mirror("a")` or `mirror("b")`."""
        return self.hosts[f"mirror-{letter}"]

    @property
    def _web(self) -> list[Host]:
        return [self.mirror("a"), self.mirror("b"), self.app]

    @property
    def edge(self) -> Host:
        return self.hosts["edge"]

    @property
    def core(self) -> Host:
        return self.hosts["core"]

    @property
    def manager(self) -> Host:
        return self.hosts["manager"]

    @property
    def app(self) -> Host:
        return self.hosts["app"]

    @property
    def dns(self) -> Host:
        return self.hosts["dns"]

    def sell(self, home: Home, down: int, up: int) -> None:
        """Set what the edge lets a home have without any order, in bit/s."""
        self._ask_edge(verb="line", home=home.name, down=down, up=up)

    def sold(self, home: Home) -> tuple[int, int]:
        """What the edge lets a home have, base and orders together, in bit/s (down, up)."""
        return tuple(self._ask_edge(verb="sold", home=home.name)["sold"])

    def start_manager(self, hooks: tuple[str, ...] = ("pay-per-site",)) -> None:
        """Make a manager on its host and let it serve; orders of the services `hooks` are told to the edge."""
        self.services_manager.init(hooks)
        self.services_manager.start()

    def publish(self, folder: Path | str) -> subprocess.CompletedProcess:
        """Publish the service in a folder of this machine; it is copied to the manager's host first."""
        return self.services_manager.publish(folder)

    def operator(self, words: list[str], **options: Any) -> subprocess.CompletedProcess:
        """Run `isdf-manager` with `words` on the manager's host; options as of `Host.run`."""
        return self.services_manager.operator(words, **options)

    def operate(self, words: list[str], **options: Any) -> Process:
        """Start `isdf-manager` with `words` on the manager's host; options as of `Host.popen`."""
        return self.services_manager.operate(words, **options)

    @property
    def feed(self) -> Path:
        """The services of this project; every host sees the folder at its own path."""
        return rootfs.CHECKOUT / "feed"

    def is_known(self, home: Home) -> bool:
        """Whether the manager has a report of a home's router."""
        return bool(json.loads(self.operator(["status", home.name, "--json"]).stdout)["devices"][0]["last_contact"])

    def add_device(self, home: Home) -> None:
        """Enter a home at the manager and configure its router, which enrols when its agent starts."""
        self.services_manager.add_device(home, self.line)

    def _ask_edge(self, **request: object) -> dict:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            wait_until(lambda: sock.connect_ex(str(self.edge.path(edge.CONTROL))) == 0, 5, "the edge's socket")
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile() as answer:
                said = json.loads(answer.readline())
        if "error" in said:
            raise FailedError(said["error"])
        return said

    def close(self) -> None:
        """End all processes; the kernel takes the rest away."""
        self._namespaces.close()
        for host in self.hosts.values():
            host.close()

    def __enter__(self) -> Premises:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _first_boot(home: Home) -> None:
    home.install()
    home.router.boot()
