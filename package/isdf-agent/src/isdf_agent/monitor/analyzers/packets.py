"""From an IP packet to the data of the UDP datagram in it. Pure and bounded.

Reference: RFC 791 (IPv4), RFC 8200 section 4 (IPv6 extension headers), RFC 768 (UDP).
"""

from __future__ import annotations

import struct

UDP = 17
_SKIPPED = {0, 43, 60}  # hop-by-hop, routing, destination options


def udp_data(packet: bytes) -> tuple[int, int, bytes] | None:
    """(source port, destination port, data) of a first or only fragment; None for anything else. Data may be cut."""
    at = _transport(packet)
    if at is None or len(packet) < at + 8:
        return None
    source, destination, length = struct.unpack_from(">HHH", packet, at)
    return source, destination, packet[at + 8 : at + max(8, length)]


def _transport(packet: bytes) -> int | None:
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        later = struct.unpack_from(">H", packet, 6)[0] & 0x1FFF
        return (packet[0] & 0xF) * 4 if packet[9] == UDP and not later and packet[0] & 0xF >= 5 else None
    if version == 6 and len(packet) >= 40:
        following, at = packet[6], 40
        for _ in range(8):
            if following == UDP:
                return at
            if following not in _SKIPPED or len(packet) < at + 2:
                return None
            following, at = packet[at], at + (packet[at + 1] + 1) * 8
    return None
