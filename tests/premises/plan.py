"""Who lives where: names, links and addresses of the paper's Figure 2. Pure data, nothing is touched.

    homeN.client1 --lan1-+                                                       +-- manager
    homeN.client2 --lan2-+- homeN.router --wan-- (wire) --homeN-- edge -- core --+-- app
    homeN.guest --guest1-+                                                       +== Internet: mirror-a, mirror-b, dns

Addresses are those for documentation: 203.0.113.0/24 and 2001:db8:2::/64 for the subscribers' lines, 198.51.100.0/24
and 2001:db8:1::/48 for the ISP, 192.0.2.0/24 and 2001:db8:f::/64 for the Internet (RFC 5737, RFC 3849). Each home has
the same 192.168.1.0/24 inside, behind NAT, and an IPv6 prefix of its own that the ISP delegates to it.
"""

from __future__ import annotations

from dataclasses import dataclass

HOMES_MAX = 200
GATEWAY4, GATEWAY6 = "203.0.113.1", "fe80::1"  # the edge, as each home sees it; fe80::1 is every router's below it
LINK_LOCAL = "fe80::2"  # a home, as the edge sees it, and the core
EDGE = ("198.51.100.1", "2001:db8:1:e::1")
MANAGER = ("198.51.100.18", "2001:db8:1:10::2")
APP = ("198.51.100.34", "2001:db8:1:20::2")
MIRROR_A = ("192.0.2.10", "2001:db8:f::10")
MIRROR_B = ("192.0.2.20", "2001:db8:f::20")
DNS = ("192.0.2.53", "2001:db8:f::53")
NAMES = {
    "edge.isp.example": EDGE, "manager.isp.example": MANAGER, "app.isp.example": APP,
    "mirror-a.example": MIRROR_A, "mirror-b.example": MIRROR_B, "dns.example": DNS,
}  # fmt: skip


@dataclass(frozen=True)
class HomePlan:
    """Addresses of home `number` (1 to 200)."""

    number: int

    @property
    def name(self) -> str:
        return f"home{self.number}"

    @property
    def wan(self) -> tuple[str, str]:
        return f"203.0.113.{10 + self.number}", f"2001:db8:2::{10 + self.number:x}"

    @property
    def prefix6(self) -> str:
        """What the ISP delegates to the home."""
        return f"2001:db8:{0x100 + self.number:x}::/48"

    def inside(self, network: str, host: int) -> tuple[str, str]:
        """The addresses of a host in the home's `lan` or `guest` network; host 1 is the router."""
        third, subnet = {"lan": (1, 1), "guest": (3, 2)}[network]
        return f"192.168.{third}.{host}", f"2001:db8:{0x100 + self.number:x}:{subnet}::{host:x}"


@dataclass(frozen=True)
class Member:
    """A client in a home: its name there, the router's port it is plugged into, its network and number in it."""

    name: str
    port: str
    network: str
    host: int

    def mac(self, home: HomePlan) -> str:
        return f"02:00:5e:10:{home.number:02x}:{self.host:02x}"


MEMBERS = (
    Member("client1", "lan1", "lan", 11), Member("client2", "lan2", "lan", 12), Member("guest", "guest1", "guest", 11),
)  # fmt: skip


@dataclass(frozen=True)
class Link:
    """A cable between two hosts' devices."""

    a: str
    a_device: str
    b: str
    b_device: str


def hosts(homes: int) -> dict[str, dict]:
    """All hosts by name, and what `top` is to make of each."""
    found = {name: {} for name in ("manager", "app", "mirror-a", "mirror-b", "dns", "wire")}
    found |= {"edge": {"forward": True}, "core": {"forward": True}}
    for home in map(HomePlan, range(1, homes + 1)):
        found[f"{home.name}.router"] = {"router": True, "forward": True}
        found |= {f"{home.name}.{member.name}": {} for member in MEMBERS}
    return found


def links(homes: int) -> list[Link]:
    """All cables; those between the homes and the edge pass the `wire`, where faults are made."""
    found = [Link("edge", "core", "core", "edge")]
    found += [Link(name, "eth0", "core", name) for name in ("manager", "app", "mirror-a", "mirror-b", "dns")]
    for home in map(HomePlan, range(1, homes + 1)):
        router = f"{home.name}.router"
        found.append(Link(router, "wan", "wire", f"to-{home.name}"))
        found.append(Link("edge", home.name, "wire", f"from-{home.name}"))
        found += [Link(f"{home.name}.{member.name}", "eth0", router, member.port) for member in MEMBERS]
    return found


def commands(homes: int) -> dict[str, list[str]]:
    """The lines for `ip -batch` of each host that give it its addresses and routes."""
    every = {name: ["link set lo up"] for name in hosts(homes)}
    core = every["core"] = [*every["core"], "link add internet type bridge", "link set internet up"]
    core += _address("edge", ("198.51.100.2", "2001:db8:1:e::2"), 30, LINK_LOCAL)
    core += [f"route add 203.0.113.0/24 via {EDGE[0]}"]
    core += [f"route add {network} via {EDGE[1]}" for network in ("2001:db8:2::/64", "2001:db8:100::/40")]
    core += _address("manager", ("198.51.100.17", "2001:db8:1:10::1"), 28, GATEWAY6)
    core += _address("app", ("198.51.100.33", "2001:db8:1:20::1"), 28, GATEWAY6)
    core += _address("internet", ("192.0.2.1", "2001:db8:f::1"), 24, GATEWAY6)
    core += [line for name in ("mirror-a", "mirror-b", "dns") for line in _port(name, "internet")]
    every["edge"] += [*_address("core", EDGE, 30, GATEWAY6), *_default("198.51.100.2", "2001:db8:1:e::2")]
    every["manager"] += _leaf(MANAGER, 28, "198.51.100.17", "2001:db8:1:10::1")
    every["app"] += _leaf(APP, 28, "198.51.100.33", "2001:db8:1:20::1")
    for name, addresses in (("mirror-a", MIRROR_A), ("mirror-b", MIRROR_B), ("dns", DNS)):
        every[name] += _leaf(addresses, 24, "192.0.2.1", "2001:db8:f::1")
    for home in map(HomePlan, range(1, homes + 1)):
        every["edge"] += subscriber(home)
        every["wire"] += [f"link set to-{home.name} up", f"link set from-{home.name} up"]
        every[f"{home.name}.router"] += router(home)
        for member in MEMBERS:
            own, gateway = home.inside(member.network, member.host), home.inside(member.network, 1)
            lines = [f"link set eth0 address {member.mac(home)}", *_leaf(own, 24, *gateway)]
            every[f"{home.name}.{member.name}"] += lines
    return every


def router(home: HomePlan) -> list[str]:
    """The lines for a home's router, also when it boots again."""
    lines = ["link add br-lan type bridge", "link add br-guest type bridge"]
    lines += [line for member in MEMBERS for line in _port(member.port, f"br-{member.network}")]
    for network in ("lan", "guest"):
        lines += _address(f"br-{network}", home.inside(network, 1), 24, GATEWAY6)
    four, six = home.wan
    lines += ["link set wan up", f"address add {four}/32 dev wan"]
    lines += [f"address add {address} dev wan nodad" for address in (f"{LINK_LOCAL}/64", f"{six}/128")]
    return [*lines, f"route add {GATEWAY4} dev wan", *_default(GATEWAY4, f"{GATEWAY6} dev wan")]


def subscriber(home: HomePlan) -> list[str]:
    """The lines for the edge's end of a home's line."""
    four, six = home.wan
    lines = [f"link set {home.name} up", f"address add {GATEWAY4}/32 dev {home.name}"]
    lines += [f"address add {GATEWAY6}/64 dev {home.name} nodad", f"route add {four} dev {home.name}"]
    return [*lines, *(f"route add {to} via {LINK_LOCAL} dev {home.name}" for to in (f"{six}/128", home.prefix6))]


def _address(device: str, addresses: tuple[str, str], length4: int, link_local: str = "") -> list[str]:
    """Up first, then the addresses, and a `link_local` where IPv6 is forwarded: else the device has no multicast route
    and asks nobody for a neighbour until the kernel has looked at the link, which may take it a second."""
    four, six = addresses
    lines = [f"link set {device} up", f"address add {four}/{length4} dev {device}"]
    lines += [f"address add {link_local}/64 dev {device} nodad"] if link_local else []
    return [*lines, f"address add {six}/64 dev {device} nodad"]


def _leaf(addresses: tuple[str, str], length4: int, gateway4: str, gateway6: str) -> list[str]:
    return [*_address("eth0", addresses, length4), *_default(gateway4, gateway6)]


def _default(gateway4: str, gateway6: str) -> list[str]:
    return [f"route add default via {gateway4}", f"route add ::/0 via {gateway6}"]


def _port(device: str, bridge: str) -> list[str]:
    return [f"link set {device} master {bridge}", f"link set {device} up"]
