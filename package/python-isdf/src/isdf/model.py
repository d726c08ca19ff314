"""The vocabulary of iSDF: flows, rates, classes and leases. Values only, no I/O.

Paper: Table 1 (control API); a field of a flow that is left out is a wildcard. The values are named tuples: every
service has this module in its memory, and `dataclasses` costs 1.1 MB there, a third of what a service may have.
"""

from __future__ import annotations

import re
from collections import namedtuple

from .errors import InvalidError

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_WITH_PORTS = {"tcp", "udp", "sctp", "udplite"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}\Z")
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,26}\Z")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_UNITS = {
    "": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9,
    "Bps": 8, "kBps": 8 * 10**3, "MBps": 8 * 10**6, "GBps": 8 * 10**9,
}  # fmt: skip
_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*\Z")
RATE_MIN, RATE_MAX = 8_000, 100 * 10**9


def parse_rate(value: object) -> int:
    """A rate in bit/s, of a number (bit/s) or of text with a unit: `1600kbit`, `1.5mbit`, `200kBps` (kilobytes).

    Units are decimal; a capital B means bytes. Allowed are 8 kbit/s to 100 Gbit/s, else `InvalidError`.
    """
    bits = value
    if isinstance(value, str) and (match := _RATE.match(value)) and match[2] in _UNITS:
        bits = float(match[1]) * _UNITS[match[2]]
    if isinstance(bits, bool) or not isinstance(bits, int | float):
        raise InvalidError(f"rate {_short(value)} is not a number of bit/s or text such as '1600kbit' or '200kBps'")
    if not RATE_MIN <= bits <= RATE_MAX:
        raise InvalidError(f"rate {_short(value)} is outside 8 kbit/s to 100 Gbit/s")
    return round(bits)


def format_rate(bits: int) -> str:
    """`bits` bit/s for a person, in the bytes that downloads are counted in: 1600000 -> '200 kB/s'."""
    return f"{bits / 8000:.10g} kB/s"


def parse_name(value: object, what: str = "name") -> str:
    """A name of a class or a device: 1 to 32 of `a-z0-9_.-`, the first a letter or digit; else `InvalidError`."""
    if not isinstance(value, str) or not _NAME.match(value):
        raise InvalidError(
            f"{what} {_short(value)} is not 1 to 32 of a-z, 0-9, '_', '.', '-' that begin with a letter or digit"
        )
    return value


def parse_service(value: object) -> str:
    """A service's name: 1 to 27 of `a-z0-9-`, the first a letter; else `InvalidError`.

    `isdf-<name>` is its user on the router: Linux takes 32 characters, and OpenWrt looks users up by a pattern in which
    a `.` would mean any letter.
    """
    if not isinstance(value, str) or not _SERVICE.match(value):
        raise InvalidError(f"service {_short(value)} is not 1 to 27 of a-z, 0-9 and '-' that begin with a letter")
    return value


def parse_host(value: object) -> str:
    """A domain name in lower case without the last dot; a leading `*.` means all names below. Else `InvalidError`."""
    if not isinstance(value, str):
        raise InvalidError(f"host {_short(value)} is not text")
    name = value.lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    if not name or len(name) > 253 or not all(map(_LABEL.match, labels)) or labels[-1].isdigit():
        raise InvalidError(f"host {_short(value)} is not a domain name such as 'tv.example' or '*.tv.example'")
    return name


def parse_address(value: object) -> str:
    """An IPv4 or IPv6 address or prefix in its canonical form, without the length where it is a single address.

    Host bits below the prefix, zones (`%eth0`) and IPv4-mapped addresses are an `InvalidError`.
    """
    import ipaddress  # kept out of processes that only carry flows

    if not isinstance(value, str):
        raise InvalidError(f"address {_short(value)} is not text")
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise InvalidError(f"address {_short(value)}: {str(error)[:120]}") from None
    if "%" in value or (network.version == 6 and network.network_address.ipv4_mapped):
        raise InvalidError(f"address {_short(value)} has a zone or is an IPv4 address inside IPv6; write it plainly")
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def parse_ports(value: object) -> str:
    """A port (`80`, "80") or a range ("6881-6889") as text; else `InvalidError`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65535:
        value = str(value)
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", value) if isinstance(value, str) else None
    if match:
        low, high = int(match[1]), int(match[2] or match[1])
        if 0 < low <= high <= 65535:
            return str(low) if low == high else f"{low}-{high}"
    raise InvalidError(f"port {_short(value)} is not 1 to 65535, or a range such as '6881-6889'")


def parse_proto(value: object) -> str:
    """A protocol as its name ("tcp") where `PROTOCOLS` has it, else as its number ("89"); else `InvalidError`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        value = str(value)
    text = value.lower() if isinstance(value, str) else ""
    if text in PROTOCOLS:
        return text
    if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= 255:
        return _PROTOCOL_NAMES.get(int(text), str(int(text)))
    raise InvalidError(f"proto {_short(value)} is not one of {', '.join(PROTOCOLS)} or a number up to 255")


def parse_device(value: object) -> str:
    """A MAC address in lower case with colons; else `InvalidError`."""
    text = value.lower().replace("-", ":") if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text):
        raise InvalidError(f"device {_short(value)} is not a MAC address such as '02:00:5e:10:00:01'")
    return text


_FLOW_FIELDS = {
    "proto": parse_proto, "local": parse_address, "local_port": parse_ports, "remote": parse_address,
    "remote_port": parse_ports, "host": parse_host, "device": parse_device,
}  # fmt: skip


class Flow(namedtuple("Flow", _FLOW_FIELDS)):
    """Traffic between the customer's side (`local`) and the other (`remote`), both directions of it.

    A field that is None is a wildcard: `Flow(remote="203.0.113.7", proto="tcp")`. `host` (a domain name, or `*.name`)
    stands for the remote addresses that DNS answers give it; `device` (MAC) for the local addresses of a device. The
    fields are canonical text; what cannot be one is an `InvalidError` that names it.
    """

    __slots__ = ()

    def __new__(cls, **given: object) -> Flow:
        if unknown := sorted(map(str, given.keys() - _FLOW_FIELDS.keys())):
            raise InvalidError(f"flow has no field {_short(unknown[0])}; it has {', '.join(_FLOW_FIELDS)}")
        values = (given.get(field) for field in _FLOW_FIELDS)
        parsers = _FLOW_FIELDS.values()
        self = super().__new__(
            cls, *(None if v is None else parse(v) for v, parse in zip(values, parsers, strict=True))
        )
        if self.host and self.remote:
            raise InvalidError("a flow has either a host or a remote address: the host stands for its addresses")
        if self.local and self.remote and (":" in self.local) != (":" in self.remote):
            raise InvalidError(f"local {self.local} and remote {self.remote} are of different address families")
        if (self.local_port or self.remote_port) and self.proto and self.proto not in _WITH_PORTS:
            raise InvalidError(f"protocol {self.proto} has no ports")
        return self

    @classmethod
    def parse(cls, mapping: object) -> Flow:
        """A flow of a mapping as it travels over ubus; `InvalidError` names the field at fault."""
        if isinstance(mapping, Flow):
            return mapping
        if not isinstance(mapping, dict):
            raise InvalidError(f"flow {_short(mapping)} is not a table of {', '.join(_FLOW_FIELDS)}")
        return cls(**{str(field): value for field, value in mapping.items()})

    def as_dict(self) -> dict[str, str]:
        """The fields that are set, as they travel."""
        return {field: value for field, value in self._asdict().items() if value is not None}

    def __str__(self) -> str:
        return " ".join(f"{k}={v}" for k, v in self.as_dict().items()) or "everything"


class Rate(namedtuple("Rate", "down up down_ceil up_ceil")):
    """What a class is guaranteed and may reach at most, in bit/s, towards the home (`down`) and away from it (`up`)."""

    __slots__ = ()


class Line(namedtuple("Line", "down up base_down base_up")):
    """The access line in bit/s: what it can carry (`down`, `up`), and what of it is sold as the base (`base_*`)."""

    __slots__ = ()


class Lease(namedtuple("Lease", "id owner verb args since until active", defaults=(None, True))):
    """Something that the control API made for `owner` when it called `verb` with `args`.

    `since` and `until` are Unix seconds (None: until undone); not `active`: shadowed by a lease that goes before it.
    """

    __slots__ = ()


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        text = "a very long number"
    return text if len(text) <= 60 else text[:57] + "..."
