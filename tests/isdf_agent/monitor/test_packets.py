"""From packets to datagrams, and from netlink to packets."""

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from isdf_agent.monitor.analyzers.packets import udp_data
from isdf_agent.monitor.sources.nflog import payloads

UDP = struct.pack(">HHHH", 53, 40000, 8 + 5, 0) + b"hello"


def ipv4(payload, protocol=17, offset=0, options=b""):
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(payload), 1, offset, 64, protocol, 0)
    return head + bytes(8) + options + payload


def ipv6(payload, following=17):
    return struct.pack(">IHBB", 0x60000000, len(payload), following, 64) + bytes(32) + payload


def test_a_datagram_is_found_in_either_family():
    for packet in (ipv4(UDP), ipv4(UDP, options=bytes(8)), ipv6(UDP), ipv6(bytes([17, 0]) + bytes(6) + UDP, 0)):
        assert udp_data(packet) == (53, 40000, b"hello")


def test_padding_after_the_datagram_is_not_of_it_and_a_cut_one_is_what_there_is():
    assert udp_data(ipv4(UDP + b"padding")) == (53, 40000, b"hello")
    assert udp_data(ipv4(UDP)[:-2]) == (53, 40000, b"hel")


def test_later_fragments_other_protocols_and_stumps_are_nothing():
    for packet in (ipv4(UDP, offset=185), ipv4(UDP, protocol=6), ipv6(UDP, 44), ipv4(UDP)[:24], b"", b"\x45"):
        assert udp_data(packet) is None


def log_message(packet, attribute=9):
    body = struct.pack(">BBH", socket.AF_INET, 0, 1) + struct.pack("=HHI", 8, 1, 0)
    body += struct.pack("=HH", 4 + len(packet), attribute) + packet + bytes(-len(packet) % 4)
    return struct.pack("=IHHII", 16 + len(body), 0x400, 0, 0, 0) + body


def test_packets_are_found_in_what_the_kernel_sends():
    data = log_message(b"one") + log_message(b"other", attribute=3) + log_message(b"three")
    assert payloads(data) == [b"one", b"three"]
    assert payloads(data[:-6]) == [b"one"]


@given(st.binary(max_size=200))
def test_random_bytes_do_no_harm(data):
    udp_data(data)
    payloads(data)
    payloads(log_message(data)[:-1] + data)
