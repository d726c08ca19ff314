"""DNS messages: hand-made answers, and random bytes."""

import struct

import pytest
from dns_messages import message, record, wire
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf_agent.monitor.analyzers import dns


def found(data):
    return [(a.names, a.address, a.ttl) for a in dns.parse(data).addresses]


def test_a_question_has_the_bytes_that_the_rfc_says():
    # RFC 1035, section 4.1: recursion desired, one question, type A, class IN.
    expected = bytes.fromhex("1a2b01000001000000000000086d6972726f722d61076578616d706c650000010001")
    assert dns.query(0x1A2B, "mirror-a.example", dns.A) == expected


def test_an_answer_gives_the_chain_of_names_and_its_shortest_ttl():
    data = message(
        "WWW.TV.example",
        dns.A,
        record("www.tv.EXAMPLE", dns.CNAME, 60, wire("edge.cdn.example")),
        record("edge.cdn.example", dns.A, 300, bytes([192, 0, 2, 1])),
        record("edge.cdn.example", dns.A, 20, bytes([192, 0, 2, 2])),
    )
    names = ("www.tv.example", "edge.cdn.example")
    assert found(data) == [(names, "192.0.2.1", 60), (names, "192.0.2.2", 20)]


def test_compressed_names_are_read():
    data = bytearray(message("tv.example", dns.AAAA))
    data[7] = 1
    data += b"\xc0\x0c" + struct.pack(">HHIH", dns.AAAA, 1, 5, 16) + bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert found(bytes(data)) == [(("tv.example",), "2001:db8::1", 5)]


def test_a_record_of_another_name_than_the_one_asked_for_is_not_believed():
    data = message("tv.example", dns.A, record("bank.example", dns.A, 60, bytes([192, 0, 2, 66])))
    assert found(data) == []


def test_a_failure_gives_no_address():
    a = record("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))
    assert found(message("tv.example", dns.A, a, flags=0x8182)) == []
    assert dns.parse(message("tv.example", dns.A, flags=0x8183)).rcode == dns.NXDOMAIN


def test_aliases_in_a_circle_end():
    circle = [
        record("a.example", dns.CNAME, 60, wire("b.example")),
        record("b.example", dns.CNAME, 60, wire("a.example")),
    ]
    assert found(message("a.example", dns.A, *circle)) == []


def test_records_that_a_short_copy_cuts_off_are_left_out():
    data = message("tv.example", dns.A, *(record("tv.example", dns.A, 60, bytes([192, 0, 2, n])) for n in range(1, 9)))
    assert 0 < len(found(data[:-30])) < 8


def test_a_ttl_with_the_highest_bit_is_none():
    assert found(message("tv.example", dns.A, record("tv.example", dns.A, 1 << 31, bytes(4))))[0][2] == 0


@pytest.mark.parametrize("flags", [0x0100, 0xA980])
def test_what_is_no_answer_to_a_query_is_refused(flags):
    with pytest.raises(FormatError):
        dns.parse(message("tv.example", dns.A, flags=flags))


@pytest.mark.parametrize(
    "name",
    [b"\xc0\x0c", b"\xc0\x0e\0", b"\x80a\0", b"\x3f" + b"a" * 10, (b"\x3f" + b"a" * 63) * 5 + b"\0", b"\xc0", b""],
    ids=["points to itself", "points forwards", "reserved", "cut off", "too long", "half a pointer", "nothing"],
)
def test_a_malformed_name_is_refused(name):
    with pytest.raises(FormatError):
        dns.parse(struct.pack(">HHHHHH", 7, 0x8180, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1))


@given(st.binary(max_size=600))
def test_random_bytes_are_an_answer_or_refused(data):
    try:
        dns.parse(data)
    except FormatError:
        pass


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_changed_answer_is_an_answer_or_refused(noise, at):
    good = message("tv.example", dns.A, *[record("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))] * 3)
    at %= len(good)
    try:
        dns.parse(good[:at] + noise + good[at + len(noise) :])
    except FormatError:
        pass
