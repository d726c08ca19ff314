"""DNS messages by hand-made answers, and by random bytes."""

import struct

import pytest
from dns_messages import message, wire
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf_agent.monitor.analyzers import dns

# RFC 1035, section 4.1: recursion desired, one question, type A, class IN.
QUESTION = bytes.fromhex("1a2b01000001000000000000086d6972726f722d61076578616d706c650000010001")


def test_a_question_has_the_bytes_that_the_rfc_says():
    assert dns.question(0x1A2B, "mirror-a.example", dns.A) == QUESTION
    asked = dns.parse(QUESTION)
    assert (asked.id, asked.response, asked.name, asked.type) == (0x1A2B, False, "mirror-a.example", dns.A)


def test_an_answer_speaks_for_each_name_on_the_way_with_the_shortest_ttl():
    data = message(
        "WWW.tv.example",
        dns.A,
        [
            ("www.tv.example", dns.CNAME, 60, wire("edge.cdn.example")),
            ("edge.cdn.example", dns.A, 300, bytes([192, 0, 2, 1])),
            ("edge.cdn.example", dns.A, 20, bytes([192, 0, 2, 2])),
        ],
    )
    assert dns.addresses(dns.parse(data)) == [
        ("www.tv.example", "192.0.2.1", 60),
        ("edge.cdn.example", "192.0.2.1", 60),
        ("www.tv.example", "192.0.2.2", 20),
        ("edge.cdn.example", "192.0.2.2", 20),
    ]


def test_compressed_names_are_read():
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
    body = wire("tv.example") + struct.pack(">HH", dns.AAAA, 1)
    record = b"\xc0\x0c" + struct.pack(">HHIH", dns.AAAA, 1, 5, 16) + bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert dns.addresses(dns.parse(head + body + record)) == [("tv.example", "2001:db8::1", 5)]


def test_a_record_for_another_name_than_the_one_asked_for_is_passed_over():
    data = message("tv.example", dns.A, [("bank.example", dns.A, 60, bytes([192, 0, 2, 66]))])
    assert dns.addresses(dns.parse(data)) == []


def test_a_question_and_a_failure_give_no_address():
    answers = [("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))]
    assert dns.addresses(dns.parse(message("tv.example", dns.A, answers, rcode=2))) == []
    assert dns.addresses(dns.parse(message("tv.example", dns.A, answers, flags=0x0100))) == []


def test_aliases_in_a_circle_end():
    circle = [("a.example", dns.CNAME, 60, wire("b.example")), ("b.example", dns.CNAME, 60, wire("a.example"))]
    assert dns.addresses(dns.parse(message("a.example", dns.A, circle))) == []


def test_records_that_a_short_copy_cuts_off_are_left_out():
    answers = [("tv.example", dns.A, 60, bytes([192, 0, 2, n])) for n in range(1, 9)]
    data = message("tv.example", dns.A, answers)
    assert 0 < len(dns.addresses(dns.parse(data[:-30]))) < 8


@pytest.mark.parametrize(
    "name",
    [b"\xc0\x0c", b"\xc0\x0e\0", b"\x80a\0", b"\x3f" + b"a" * 10, (b"\x3f" + b"a" * 63) * 5 + b"\0", b"\xc0", b""],
    ids=["points to itself", "points forwards", "reserved", "cut off", "too long", "half a pointer", "nothing"],
)
def test_a_malformed_name_is_refused(name):
    with pytest.raises(FormatError):
        dns.parse(struct.pack(">HHHHHH", 7, 0x8180, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1))


@given(st.binary(max_size=600))
def test_random_bytes_are_a_message_or_refused(data):
    try:
        dns.addresses(dns.parse(data))
    except FormatError:
        pass


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_changed_answer_is_a_message_or_refused(noise, at):
    good = message("tv.example", dns.A, [("tv.example", dns.A, 60, bytes([192, 0, 2, 1]))] * 3)
    at %= len(good)
    try:
        dns.addresses(dns.parse(good[:at] + noise + good[at + len(noise) :]))
    except FormatError:
        pass
