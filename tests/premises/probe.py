"""What a host reaches: `python -m premises.probe TARGET...`, one line of JSON, `{target: bool}`.

A target is `icmp:ADDRESS`, `tcp:ADDRESS:PORT` (a connection is made), `udp:ADDRESS:PORT` (something is answered) or
`dns:NAME` (resolves). All are tried at once and may take a second.
"""

from __future__ import annotations

import concurrent.futures
import json
import socket
import struct
import sys

_TIMEOUT = 1.0  # seconds


def probe(target: str) -> bool:
    kind, _, rest = target.partition(":")
    try:
        match kind:
            case "icmp":
                return _icmp(rest)
            case "tcp":
                with socket.create_connection(_host_port(rest), _TIMEOUT):
                    return True
            case "udp":
                return _udp(*_host_port(rest))
            case "dns":
                return bool(socket.getaddrinfo(rest, 80))
    except OSError:
        return False
    raise ValueError(f"{target} begins with none of icmp:, tcp:, udp:, dns:")


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _icmp(address: str) -> bool:
    """An echo over an unprivileged ICMP socket, icmp(7); the kernel fills in identifier and checksum."""
    six = ":" in address
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.settimeout(_TIMEOUT)
        sock.connect((address, 0))
        sock.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1) + b"premises")
        return sock.recv(100)[0] == (129 if six else 0)


def _udp(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TIMEOUT)
        sock.connect((host, port))
        sock.send(b"\0" * 48)
        return bool(sock.recv(100))


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        print(json.dumps(dict(zip(sys.argv[1:], pool.map(probe, sys.argv[1:]), strict=True))))
