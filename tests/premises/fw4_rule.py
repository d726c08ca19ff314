"""The rules of /etc/config/firewall (`config rule`) as nft rules, by the chain of fw4 that they belong to."""

from __future__ import annotations

import ipaddress

from .uci import Section

_VERDICTS = {"ACCEPT": "accept", "REJECT": "jump handle_reject", "DROP": "drop"}
# Names of UCI's icmp_type: type, and the code where the name means one; RFC 792, RFC 4443, RFC 4861.
_ICMP = {
    "ip": {"echo-request": "8", "echo-reply": "0", "destination-unreachable": "3", "time-exceeded": "11"},
    "ip6": {
        "destination-unreachable": "1", "packet-too-big": "2/0", "time-exceeded": "3", "bad-header": "4/0",
        "unknown-header-type": "4/1", "echo-request": "128", "echo-reply": "129", "router-solicitation": "133",
        "router-advertisement": "134", "neighbour-solicitation": "135/0", "neighbour-advertisement": "136/0",
    },
}  # fmt: skip


def render(sections: list[Section]) -> dict[str, list[str]]:
    """nft rules by chain name, in the order of the file; `ValueError` for what cannot be rendered."""
    chains: dict[str, list[str]] = {}
    for section in sections:
        chain = _chain(section)
        for matches in _matches(section):
            parts = [*matches, "counter", _verdict(section), f'comment "!fw4: {section.get("name", "@rule")}"']
            chains.setdefault(chain, []).append(" ".join(parts))
    return chains


def _chain(section: Section) -> str:
    source, target = section.get("src"), section.get("dest")
    if source and target:
        return "forward" if source == "*" else f"forward_{source}"
    if source:
        return "input" if source == "*" else f"input_{source}"
    return f"output_{target}" if target and target != "*" else "output"


def _verdict(section: Section) -> str:
    target = section.get("target", "DROP")
    if target not in _VERDICTS:
        raise ValueError(f"rule {section.get('name')}: target {target!r} is not one of {', '.join(_VERDICTS)}")
    destination = section.get("dest")
    if section.get("src") and destination and destination != "*":
        return f"jump {target.lower()}_to_{destination}"
    return _VERDICTS[target]


def _matches(section: Section) -> list[list[str]]:
    """One list of matches for each nft rule that the section needs: each family and protocol has its own."""
    found = []
    for family in _families(section):
        for protocol in section.words("proto") or ["tcp", "udp"]:
            for matched in _protocol(section, family, protocol):
                limit = section.get("limit")
                rate = [f"limit rate {limit.replace('/sec', '/second')}"] if limit else []
                found.append([*_addresses(section, family), *matched, *rate])
    return found


def _families(section: Section) -> list[str | None]:
    """`ip`, `ip6`, or None where the rule means both at once."""
    wanted = {"ipv4": ["ip"], "ipv6": ["ip6"]}.get(section.get("family"))
    named = {
        "ip" if ipaddress.ip_network(address.lstrip("!"), strict=False).version == 4 else "ip6"
        for option in ("src_ip", "dest_ip")
        for address in section.words(option)
    }
    if wanted:
        return wanted
    if named:
        return sorted(named)
    return ["ip", "ip6"] if section.words("icmp_type") else [None]


def _addresses(section: Section, family: str | None) -> list[str]:
    matches = [f"meta nfproto {'ipv4' if family == 'ip' else 'ipv6'}"] if family else []
    for option, side in (("src_ip", "saddr"), ("dest_ip", "daddr")):
        fitting = [a for a in section.words(option) if (":" in a) == (family == "ip6")]
        if fitting:
            matches.append(f"{family} {side} {{ {', '.join(fitting)} }}")
    return matches


def _protocol(section: Section, family: str | None, protocol: str) -> list[list[str]]:
    if protocol in ("icmp", "icmpv6", "ipv6-icmp") and section.words("icmp_type"):
        return [[match] for match in _icmp_types(section.words("icmp_type"), family)]
    if protocol in ("icmp", "icmpv6", "ipv6-icmp"):
        return [["meta l4proto ipv6-icmp" if family == "ip6" else "meta l4proto icmp"]]
    if protocol in ("all", "any"):
        return [[]]
    ports = [
        f"{protocol} {side} {{ {', '.join(section.words(option))} }}"
        for option, side in (("src_port", "sport"), ("dest_port", "dport"))
        if section.words(option)
    ]
    return [ports or [f"meta l4proto {protocol}"]]


def _icmp_types(names: list[str], family: str | None) -> list[str]:
    """Types without a code in one set, types with a code in another."""
    numbers = [_ICMP[family].get(name, name) for name in names]
    icmp = "icmpv6" if family == "ip6" else "icmp"
    plain = [number for number in numbers if "/" not in number]
    coded = [number.replace("/", " . ") for number in numbers if "/" in number]
    found = [f"{icmp} type {{ {', '.join(plain)} }}"] if plain else []
    return [*found, f"{icmp} type . {icmp} code {{ {', '.join(coded)} }}"] if coded else found
