"""What a home's kernel and agent have, read from outside; nothing here changes anything but `Watch`'s own table."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

from premises.home import Home, Router
from premises.host import wait_until
from premises.plan import NAMES

IFB, WAN = "ifb-isdf", "wan"
_MOVING = re.compile(r"packets \d+ bytes \d+|expires \S+")


def status(router: Router) -> dict:
    return router.ubus("call", "isdf", "status")


def classes(router: Router) -> dict[str, dict]:
    """What the agent says of each class, by its owner."""
    found = status(router)["control"]["classes"]
    return {c["owner"]: c for c in found}


def leases(router: Router) -> list[str]:
    listed = router.ubus("call", "isdf.control", "list")["classes"]
    return sorted(member["lease"] for c in listed for member in c["members"])


def service_pid(router: Router, service: str) -> int | None:
    """The pid that procd knows, in the router's own numbers."""
    instances = router.ubus("call", "service", "list").get(f"isdf-service-{service}", {}).get("instances", {})
    return instances.get("main", {}).get("pid")


def rules(router: Router, *, handles: bool = False) -> str:
    """The ruleset without what moves by itself (counters)."""
    words = ["nft", "-a"] if handles else ["nft"]
    return _MOVING.sub("", router.run([*words, "list", "ruleset"]).stdout)


def queues(router: Router) -> str:
    """All qdiscs, classes and filters, without statistics."""
    text = router.run(["tc", "qdisc", "show"]).stdout
    for device in (IFB, WAN, "br-lan", "br-guest"):
        text += "".join(sorted(router.run(["tc", "class", "show", "dev", device]).stdout.splitlines(True)))
        text += router.run(["tc", "filter", "show", "dev", device, "egress"]).stdout
    return text


def qdiscs(router: Router) -> set[tuple[str, str, str, str]]:
    """Device, parent, kind and handle of each qdisc: another handle would be another queue."""
    listed = json.loads(router.run(["tc", "-j", "qdisc", "show"]).stdout)
    return {(q["dev"], q.get("parent", "root"), q["kind"], q["handle"]) for q in listed}


def routes(router: Router) -> str:
    """Links, addresses, rules and routes of all tables."""
    words = [[family, *what] for family in ("-4", "-6") for what in (["route", "show", "table", "all"], ["rule"])]
    return "".join(router.run(["ip", *what]).stdout for what in [*words, ["-o", "address"], ["-o", "link"]])


def rate(router: Router, number: int, device: str = IFB) -> int:
    """The ceil of class `number` in the kernel, in kbit/s; 0 if there is none."""
    for line in router.run(["tc", "class", "show", "dev", device]).stdout.splitlines():
        if re.match(rf"class htb 1:(8{number:03x}|{number:x}0) parent 1:1 ", line):
            value, unit = re.search(r" ceil (\d+)([MK]?)bit", line).groups()
            return int(value) * {"": 1, "K": 1000, "M": 1_000_000}[unit] // 1000
    return 0


def carried(router: Router, table: str = "isdf") -> dict[str, int]:
    """Packets counted by the named counters of a table, by their names."""
    listed = json.loads(router.run(["nft", "-j", "list", "counters", "table", "inet", table]).stdout)["nftables"]
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed if "counter" in entry}


def sent(router: Router) -> dict[tuple[str, str], int]:
    """Bytes that each HTB class has sent since it was made."""
    found = {}
    for device in (IFB, WAN):
        text = router.run(["tc", "-s", "class", "show", "dev", device]).stdout
        found |= {(device, c): int(n) for c, n in re.findall(r"class htb (\S+) .*\n Sent (\d+) bytes", text)}
    return found


@contextmanager
def every_packet_in_its_class(home: Home, number: int):
    """Asserts that meanwhile each packet from and to mirror A is in class `number`, and none of mirror B.

    A table of our own behind the agent's counts those that are not, by the priority that they have got: so there is no
    moment between two looks.
    """
    inside, outside = (f"meta priority {sign} 1:{number:x}0-1:{number:x}f" for sign in ("==", "!="))
    rules = []
    for mirror, wrong in (("mirror-a", outside), ("mirror-b", inside)):
        for family, address in zip(("ip", "ip6"), NAMES[f"{mirror}.example"], strict=True):
            for field in ("saddr", "daddr"):
                packet = f"{family} {field} {address}"
                rules += [f"{packet} counter name seen", f"{packet} {wrong} counter name strayed"]
    chain = ["chain c {", "type filter hook forward priority -140; policy accept;", *rules, "}"]
    text = "\n".join(["table inet watch {", "counter seen { }", "counter strayed { }", *chain, "}", ""])
    home.router.run(["nft", "-f", "-"], input=text)
    try:
        yield
        counted = carried(home.router, "watch")
    finally:
        home.router.run(["nft", "delete", "table", "inet", "watch"])
    assert counted["seen"] > 0
    assert counted["strayed"] == 0, counted


def enforced(home: Home, owner: str = "pay-per-site") -> int:
    """Waits until the class of a service is there; its number in the kernel."""
    return wait_until(lambda: classes(home.router).get(owner), 15, f"the class of {owner}")["id"]
