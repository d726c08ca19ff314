"""A home's firewall: /etc/config/firewall as an nft ruleset in the shape that OpenWrt's fw4 gives it.

On the router `/sbin/fw4 start | reload | stop | print | check`. Table and chains have fw4's names, the files below
/usr/share/nftables.d and /etc/nftables.d are taken in at the same places, and a reload replaces `table inet fw4` in one
transaction and touches no other table. What it knows: defaults, zones, forwardings and rules; port redirects and ipsets
of UCI are refused. Reference: OpenWrt's firewall4, root/usr/share/firewall4/templates and tests/.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import fw4_rule, uci

NAME = "inet fw4"
_BURST = 'limit rate 25/second burst 50 packets return comment "!fw4: Accept SYN packets below rate-limit"'


@dataclass(frozen=True)
class Zone:
    """A firewall zone: its devices and what may enter it, leave to it and pass between its networks."""

    name: str
    devices: tuple[str, ...]
    input: str
    output: str
    forward: str
    masquerade: bool
    clamp_mss: bool

    @property
    def quoted(self) -> str:
        names = ", ".join(f'"{device}"' for device in self.devices)
        return names if len(self.devices) == 1 else f"{{ {names} }}"


class Firewall:
    """The configuration below `root` (a router's "/"), rendered by `ruleset`."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.sections = uci.parse((self.root / "etc/config/firewall").read_text())
        network = uci.parse((self.root / "etc/config/network").read_text())
        self._devices = {s.name: s.get("device") for s in network if s.kind == "interface"}
        known = ("defaults", "zone", "forwarding", "rule")
        for section in self.sections:
            if section.kind not in known:
                raise ValueError(f"/etc/config/firewall: 'config {section.kind}' is not one of {', '.join(known)}")
        self.defaults = next(s for s in self.sections if s.kind == "defaults")
        self.zones = [self._zone(s) for s in self.sections if s.kind == "zone"]
        self.rules = fw4_rule.render([s for s in self.sections if s.kind == "rule" and s.on("enabled", True)])

    def _zone(self, section: uci.Section) -> Zone:
        devices = dict.fromkeys(self._devices[network] for network in section.words("network"))
        verdicts = (section.get(chain, "REJECT").lower() for chain in ("input", "output", "forward"))
        return Zone(section.get("name"), tuple(devices), *verdicts, section.on("masq"), section.on("mtu_fix"))

    def ruleset(self) -> str:
        """The text for `nft -f`: it declares the table, empties it and fills it."""
        lines = [f"table {NAME}", f"flush table {NAME}", *self._files("ruleset-pre"), f"table {NAME} {{"]
        lines += [f'include "{path}"' for path in sorted((self.root / "etc/nftables.d").glob("*.nft"))]
        lines += self._files("table-pre")
        for chain in ("input", "forward", "output"):
            lines += self._filter(chain)
        lines += self._shared()
        for zone in self.zones:
            lines += self._of_zone(zone)
        lines += self._nat() + self._raw_and_mangle() + self._files("table-post")
        return "\n".join([*lines, "}", *self._files("ruleset-post"), ""])

    def _files(self, place: str) -> list[str]:
        return [f'include "{path}"' for path in sorted((self.root / "usr/share/nftables.d" / place).glob("*.nft"))]

    def _chain(self, name: str, rules: list[str], hook: str = "") -> list[str]:
        head = [f"type {hook}"] if hook else []
        first = [rules.pop(0)] if rules and "Accept traffic" in rules[0] else []  # loopback goes before all
        inner = [*head, *first, *self._files(f"chain-pre/{name}"), *rules, *self._files(f"chain-post/{name}")]
        return [f"chain {name} {{", *inner, "}"]

    def _filter(self, chain: str) -> list[str]:
        policy = self.defaults.get(chain, "REJECT").lower()
        what = {"input": "inbound", "forward": "forwarded", "output": "outbound"}[chain]
        invalid = ", invalid : drop" if self.defaults.on("drop_invalid") else ""
        known = f"established : accept, related : accept{invalid}"
        rules = [f'ct state vmap {{ {known} }} comment "!fw4: Handle {what} flows"']
        if chain != "forward":
            side, words = ("iif", "from") if chain == "input" else ("oif", "towards")
            rules.insert(0, f'{side} "lo" accept comment "!fw4: Accept traffic {words} loopback"')
        if chain == "input" and self.defaults.on("syn_flood"):
            rules.append("tcp flags & (fin | syn | rst | ack) == syn jump syn_flood")
        rules += self.rules.get(chain, [])
        side = "oifname" if chain == "output" else "iifname"
        rules += [
            f'{side} {zone.quoted} jump {chain}_{zone.name} comment "!fw4: Handle {zone.name} {chain} traffic"'
            for zone in self.zones
        ]
        rules += ["jump handle_reject"] if policy == "reject" else []
        hook = f"filter hook {chain} priority filter; policy {'accept' if policy == 'accept' else 'drop'};"
        return self._chain(chain, rules, hook)

    def _shared(self) -> list[str]:
        lines = self._chain("prerouting", [], "filter hook prerouting priority filter; policy accept;")
        lines += self._chain("handle_reject", ["meta l4proto tcp reject with tcp reset", "reject"])
        if self.defaults.on("syn_flood"):
            lines += self._chain("syn_flood", [_BURST, 'drop comment "!fw4: Drop excess packets"'])
        return lines

    def _of_zone(self, zone: Zone) -> list[str]:
        passes = [
            f"jump accept_to_{section.get('dest')}"
            for section in self.sections
            if section.kind == "forwarding" and section.get("src") == zone.name
        ]
        lines = []
        for chain, last, more in (
            ("input", f"jump {zone.input}_from_{zone.name}", []),
            ("output", f"jump {zone.output}_to_{zone.name}", []),
            ("forward", f"jump {zone.forward}_to_{zone.name}", passes),
        ):
            name = f"{chain}_{zone.name}"
            lines += self._chain(name, [*self.rules.get(name, []), *more, last])
        for verdict in ("accept", "reject", "drop"):
            end = {"accept": "accept", "drop": "drop", "reject": "jump handle_reject"}[verdict]
            comment = f'comment "!fw4: {verdict} {zone.name} IPv4/IPv6 traffic"'
            lines += self._chain(f"{verdict}_from_{zone.name}", [f"iifname {zone.quoted} counter {end} {comment}"])
            leak = f"meta nfproto ipv4 oifname {zone.quoted} ct state invalid counter drop"
            first = [leak] if zone.masquerade and verdict == "accept" else []
            to = [*first, f"oifname {zone.quoted} counter {end} {comment}"]
            lines += self._chain(f"{verdict}_to_{zone.name}", to)
        return lines

    def _nat(self) -> list[str]:
        lines = self._chain("dstnat", [], "nat hook prerouting priority dstnat; policy accept;")
        masked = [zone for zone in self.zones if zone.masquerade]
        jumps = [f"oifname {zone.quoted} jump srcnat_{zone.name}" for zone in masked]
        for zone in masked:
            masquerade = f'meta nfproto ipv4 masquerade comment "!fw4: Masquerade IPv4 {zone.name} traffic"'
            lines += self._chain(f"srcnat_{zone.name}", [masquerade])
        return [*lines, *self._chain("srcnat", jumps, "nat hook postrouting priority srcnat; policy accept;")]

    def _raw_and_mangle(self) -> list[str]:
        lines = self._chain("raw_prerouting", [], "filter hook prerouting priority raw; policy accept;")
        lines += self._chain("raw_output", [], "filter hook output priority raw; policy accept;")
        clamp = "tcp flags syn / syn,fin,rst tcp option maxseg size set rt mtu"
        for hook in ("prerouting", "postrouting", "input", "output", "forward"):
            side = {"postrouting": "oifname", "forward": "iifname"}.get(hook)
            rules = [f"{side} {zone.quoted} {clamp}" for zone in self.zones if side and zone.clamp_mss]
            kind = "route" if hook == "output" else "filter"
            lines += self._chain(f"mangle_{hook}", rules, f"{kind} hook {hook} priority mangle; policy accept;")
        return lines


def main(arguments: list[str] | None = None) -> int:
    """The command; a reload before the first start and a ruleset that nft refuses end with status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    action = next((word for word in arguments if not word.startswith("-")), "")
    state = Path("/var/run/fw4.state")
    try:
        match action:
            case "start" | "restart" | "reload":
                if (action == "start") == state.exists() and action != "restart":
                    print(f"fw4: the firewall is {'' if state.exists() else 'not '}loaded", file=sys.stderr)
                    return 1
                subprocess.run(["nft", "-f", "-"], input=Firewall().ruleset(), text=True, check=True)
                state.parent.mkdir(parents=True, exist_ok=True)
                state.touch()
            case "stop":
                subprocess.run(["nft", "delete", "table", "inet", "fw4"], check=True)
                state.unlink(missing_ok=True)
            case "print":
                print(Firewall().ruleset(), end="")
            case "check":
                subprocess.run(["nft", "-c", "-f", "-"], input=Firewall().ruleset(), text=True, check=True)
            case _:
                print("usage: fw4 start | stop | restart | reload | print | check", file=sys.stderr)
                return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    except (OSError, ValueError, KeyError) as error:
        print(f"fw4: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
