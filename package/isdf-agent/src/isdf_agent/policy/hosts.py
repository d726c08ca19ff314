"""Names become addresses: what DNS answers say of the hosts that members want, bounded and with an end.

An address counts for its TTL, at least `FLOOR` seconds: connections outlive the TTLs of today's answers by far, and a
name's next answer often has other addresses than the last one while the last ones still serve.
"""

from __future__ import annotations

from isdf.errors import InvalidError
from isdf.model import parse_address

from .leases import Held

FLOOR, CEILING = 1800.0, 86400.0
MAX_ADDRESSES = 64  # of one host or pattern; the one that ends first makes room
MAX_HOSTS = 256


def wanted(held: Held) -> set[str]:
    """The hosts and patterns (`*.domain`) that members have."""
    return {m.flow.host for m in held.members.values() if m.flow.host}


def fits(pattern: str, name: str) -> bool:
    """Whether `name` is the host, or a name below the domain of a pattern `*.domain`."""
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def learned(held: Held, host: str, address: str, ttl: float, now: float) -> Held:
    """With one more answer. The same `held` when nothing changes: not wanted, no unicast address, or hardly newer."""
    import ipaddress  # 0.2 MB that only who follows names pays

    names = [pattern for pattern in wanted(held) if fits(pattern, host)]
    if not names:
        return held
    try:
        address = parse_address(address)
        parsed = ipaddress.ip_address(address)
    except (InvalidError, ValueError):
        return held
    if parsed.is_multicast or parsed.is_loopback or parsed.is_unspecified or parsed.is_link_local:
        return held  # an answer that blocks a name, or nonsense: never a way over the line
    until = now + min(max(ttl, FLOOR), CEILING)
    known = dict(held.addresses)
    for name in names:
        before = known.get(name, {})
        # Each answer that passes is heard; writing the ledger for each would be a write a second.
        if until - before.get(address, 0) < FLOOR / 4:
            continue
        addresses = {**{a: end for a, end in before.items() if end > now}, address: until}
        while len(addresses) > MAX_ADDRESSES:
            del addresses[min(addresses, key=lambda a: (addresses[a], a))]
        known[name] = addresses
    return held if known == held.addresses else Held(held.classes, held.members, known)


def aged(held: Held, now: float) -> Held:
    """Without the addresses that are over; a host keeps its last ones until it has newer: better old than none."""
    known = {}
    for host, addresses in held.addresses.items():
        alive = {a: until for a, until in addresses.items() if until > now}
        known[host] = alive or addresses
    return held if known == held.addresses else Held(held.classes, held.members, known)


def next_end(held: Held, now: float) -> float | None:
    """When the next address ends."""
    return min((until for a in held.addresses.values() for until in a.values() if until > now), default=None)
