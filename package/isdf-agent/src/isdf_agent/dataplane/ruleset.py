"""The nft table `inet isdf` as text: which packets are of which class.

    forward    to the WAN: goto up; from the WAN: goto down. Before SNAT and after DNAT, so `local` is the LAN address.
    up, down   one lookup for each shape of flow, the narrowest first; a hit goes to the class, all others to the base
    class_N    counts, and sets the packet's priority to the HTB class N0 of the shaper's trees

The priority is before fw4's chains (mangle), and an accept here ends nothing there: fw4 decides as it would without us.
Matches of one shape are elements of a plain hash map, because the rule masks the packet's fields to exact keys. Ranges
of ports cannot be masked; they stand in a second, interval map of the shape. Both directions use the same maps: the key
is built from the customer's side. Everything here is pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from isdf.digest import sha256

from .match_shape import Shape, shape_of, split_prefix
from .ours import TABLE
from .port import BASE, Class, Match

_TYPES = {"local_port": "inet_service", "remote_port": "inet_service", "proto": "inet_proto", "all": "nf_proto"}
_HAS_PORTS = "meta l4proto { 6, 17, 132, 136 }"  # tcp, udp, sctp, udplite


def map_of(match: Match) -> tuple[Shape, bool]:
    """The map a match stands in: its shape, and whether it is the one for ranges."""
    ranges = any(ports is not None and ports[0] != ports[1] for ports in (match.local_port, match.remote_port))
    return shape_of(match), ranges


def map_name(shape: Shape, ranges: bool) -> str:
    # The first word keeps clear of nft's own words.
    return f"flow_{shape.name}{'_range' if ranges else ''}"


def fields_of(shape: Shape) -> list[str]:
    """The fields of a key in their order."""
    found = [
        name
        for name, there in (
            ("local", shape.local is not None),
            ("local_port", shape.local_port),
            ("remote", shape.remote is not None),
            ("remote_port", shape.remote_port),
            ("proto", shape.proto),
        )
        if there
    ]
    return found or ["all"]


def add_map(shape: Shape, ranges: bool) -> str:
    address = f"ipv{shape.family}_addr"
    kind = " . ".join(_TYPES.get(name, address) for name in fields_of(shape))
    flags = " flags interval ;" if ranges else ""
    return f"add map {TABLE} {map_name(shape, ranges)} {{ type {kind} : verdict ;{flags} }}"


def keys_of(match: Match) -> list[str]:
    """The keys of a match in its map: one, or both families where no field is set."""
    parts = []
    for name in fields_of(shape_of(match)):
        value = getattr(match, name, None)
        if name == "all":
            return ["ipv4", "ipv6"]
        if name in ("local", "remote"):
            parts.append(split_prefix(value)[0])
        elif name == "proto":
            parts.append(str(value))
        else:
            parts.append(str(value[0]) if value[0] == value[1] else f"{value[0]}-{value[1]}")
    return [" . ".join(parts)]


def lookup(shape: Shape, ranges: bool, up: bool) -> str:
    """The rule that looks a packet up in the map, in one direction."""

    def address(side: str, length: int) -> str:
        source = (side == "local") == up
        field = f"{'ip' if shape.family == 4 else 'ip6'} {'saddr' if source else 'daddr'}"
        full = 32 if shape.family == 4 else 128
        if length == full:
            return field
        import ipaddress  # 0.2 MB that only a prefix needs

        mask = ipaddress.ip_network(("0.0.0.0" if shape.family == 4 else "::") + f"/{length}").netmask
        return f"{field} & {mask}"

    words = {
        "local": lambda: address("local", shape.local),
        "remote": lambda: address("remote", shape.remote),
        "local_port": lambda: "th sport" if up else "th dport",
        "remote_port": lambda: "th dport" if up else "th sport",
        "proto": lambda: "meta l4proto",
        "all": lambda: "meta nfproto",
    }
    key = " . ".join(words[name]() for name in fields_of(shape))
    ports = (shape.local_port or shape.remote_port) and not shape.proto
    return f"{_HAS_PORTS + ' ' if ports else ''}{key} vmap @{map_name(shape, ranges)}"


def base_chains(wan: str, buckets) -> dict[str, list[str]]:
    """The chains that are always there, besides `up` and `down`; `buckets`: see `isdf_agent.dataplane.buckets`."""
    chains = {"forward": [f'oifname "{wan}" goto up', f'iifname "{wan}" goto down']}
    return {**(buckets.chains() if buckets else {}), **chains}


def direction_chain(maps: Iterable[tuple[Shape, bool]], up: bool, buckets) -> list[str]:
    """The rules of `up` or `down`."""
    ordered = sorted(maps, key=lambda m: (m[0].rank, m[1]))
    first = [buckets.assign] if buckets else []
    return [*first, *(lookup(shape, ranges, up) for shape, ranges in ordered), f"goto class_{BASE}"]


def class_chain(number: int, wan: str, buckets) -> list[str]:
    """The rules of a class. Its priority is the HTB class `1:N0`; with buckets one of `1:N0` to `1:Nf`."""
    rules = [
        f'oifname "{wan}" counter name "up_{number}"',
        f'iifname "{wan}" counter name "down_{number}"',
        f"meta priority set 1:{number:x}0",
    ]
    return [*rules, buckets.priority(number)] if buckets else rules


def hook_of(name: str) -> tuple[str | None, int | None, str | None]:
    """The hook of a chain, its priority (that of mangle) and its policy; Nones where it has none."""
    return ("forward", -150, "accept") if name == "forward" else (None, None, None)


def add_chain(name: str) -> str:
    where, priority, policy = hook_of(name)
    hook = f" {{ type filter hook {where} priority {priority} ; policy {policy} ; }}" if where else ""
    return f"add chain {TABLE} {name}{hook}"


def fingerprint(rules: list[str], label: str = "") -> str:
    """The comment of a chain's last rule: tells an agent that adopts the table whether the chain is as it would be."""
    digest = sha256("\n".join(rules).encode()).hexdigest()[:8]
    return f"{label} {digest}".strip()


def fill_chain(name: str, rules: list[str], label: str = "") -> list[str]:
    """Commands that give the chain `name` these rules and no others."""
    commands = [f"flush chain {TABLE} {name}"]
    for rule in rules[:-1]:
        commands.append(f"add rule {TABLE} {name} {rule}")
    commands.append(f'add rule {TABLE} {name} {rules[-1]} comment "{fingerprint(rules, label)}"')
    return commands


def add_class(c: Class, wan: str, buckets) -> list[str]:
    return [
        f"add counter {TABLE} up_{c.id}",
        f"add counter {TABLE} down_{c.id}",
        add_chain(f"class_{c.id}"),
        *fill_chain(f"class_{c.id}", class_chain(c.id, wan, buckets), c.label),
    ]


def remove_class(number: int) -> list[str]:
    return [
        f"delete chain {TABLE} class_{number}",
        f"delete counter {TABLE} up_{number}",
        f"delete counter {TABLE} down_{number}",
    ]


def elements(verb: str, members: Iterable[tuple[Match, int]], piece: int = 500) -> list[str]:
    """`add` or `delete` commands for elements, of at most `piece` members each."""
    by_map: dict[str, list[str]] = {}
    for match, number in members:
        shape, ranges = map_of(match)
        for key in keys_of(match):
            by_map.setdefault(map_name(shape, ranges), []).append(f"{key} : goto class_{number}")
    return [
        f"{verb} element {TABLE} {name} {{ {', '.join(found[at : at + piece])} }}"
        for name, found in sorted(by_map.items())
        for at in range(0, len(found), piece)
    ]
