"""The vocabulary: each parser takes its own result again, and refuses everything else with InvalidError alone."""

import ipaddress
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf import model
from isdf.errors import InvalidError
from isdf.model import Flow

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.binary(max_size=8),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.text("0123456789abcdefABCDEF.:/-*%kmgbitBps ", max_size=40),
    st.sampled_from(["9" * 5000, "x" * 5000, 10**400, -(10**5000), 10**5000, {"x" * 5000: 1}, ["\ud800"], "\ud800"]),
)  # fmt: skip
PARSERS = [
    model.parse_rate, model.parse_name, model.parse_service, model.parse_host, model.parse_address, model.parse_ports,
    model.parse_proto, model.parse_device,
]  # fmt: skip

addresses = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda p: str(ipaddress.ip_network(p, strict=False))),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda p: str(ipaddress.ip_network(p, strict=False))),
).filter(lambda text: not text.lower().startswith("::ffff:"))
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=3).map(lambda parts: ".".join([*parts, "example"]))
ports = st.integers(1, 65535).map(str) | st.tuples(st.integers(1, 30000), st.integers(30001, 65535)).map(
    lambda pair: f"{pair[0]}-{pair[1]}"
)
flows = st.fixed_dictionaries(
    {},
    optional={
        "proto": st.sampled_from(["tcp", "udp", "6", 17]), "local": st.just("192.0.2.0/24"), "local_port": ports,
        "remote_port": ports, "host": hosts, "device": st.just("02-00-5E-10-00-01"),
    },
)  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(value=anything)
def test_any_value_is_taken_as_canonical_or_refused(parse, value):
    try:
        first = parse(value)
    except InvalidError as refused:
        message = str(refused)
    else:
        assert parse(first) == first
        return
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1600kbit", 1_600_000), ("1.5mbit", 1_500_000), ("200kBps", 1_600_000), ("1MBps", 8_000_000),
        ("1gbit", 10**9), ("8000", 8000), (" 8 kbit ", 8000), (8000, 8000), (8000.4, 8000), (10**11, 10**11),
    ],
)  # fmt: skip
def test_rates(text, bits):
    assert model.parse_rate(text) == bits


@pytest.mark.parametrize(
    "rate",
    [0, -1, 7999, 10**11 + 1, math.nan, math.inf, True, None, "", "1 kb", "1KBPS", "-8mbit", "1e6", "1,5mbit", []],
)
def test_what_is_no_rate(rate):
    with pytest.raises(InvalidError):
        model.parse_rate(rate)


@given(st.integers(model.RATE_MIN, model.RATE_MAX))
def test_a_rate_is_shown_in_kilobytes(bits):
    assert model.format_rate(bits).endswith(" kB/s")
    assert model.format_rate(1_600_000) == "200 kB/s"
    assert model.format_rate(10**10) == "1250000 kB/s"


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "A", "a b", "a/b", "a" * 33, "a\n", "ä", None, 1])
def test_what_is_no_name(name):
    with pytest.raises(InvalidError, match="class name"):
        model.parse_name(name, "class name")


@pytest.mark.parametrize("name", ["", "-a", "1a", "a.b", "a_b", "A", "a" * 28, "a\n", "ä", None, 1])
def test_what_is_no_service(name):
    with pytest.raises(InvalidError, match="1 to 27 of a-z"):
        model.parse_service(name)


def test_the_user_of_the_longest_service_is_one_that_linux_takes():
    assert len("isdf-" + model.parse_service("a" * 27)) == 32


@pytest.mark.parametrize("rate", ["0", "0kbit", "7kbit", 7, "200gbit"])
def test_a_rate_out_of_range_is_told_as_it_was_given(rate):
    with pytest.raises(InvalidError, match=f"rate {rate!r} is outside"):
        model.parse_rate(rate)


@given(hosts)
def test_hosts_are_lower_case_without_the_last_dot(host):
    assert model.parse_host(host.upper() + ".") == host
    assert model.parse_host("*." + host) == "*." + host


@pytest.mark.parametrize(
    "host",
    ["", ".", "*", "*.", "a..b", "-a.example", "a-.example", "192.0.2.1", "a b", "a.*.b", "x" * 64, "a." * 127 + "ab",
     "*.*.example", "ä.example", "host\n", 5],
)  # fmt: skip
def test_what_is_no_host(host):
    with pytest.raises(InvalidError):
        model.parse_host(host)


@given(addresses)
def test_addresses_are_what_ipaddress_says(text):
    network = ipaddress.ip_network(text)
    single = network.num_addresses == 1
    assert model.parse_address(text) == (str(network.network_address) if single else str(network))


@pytest.mark.parametrize(
    "address",
    ["", "192.0.2.1/24", "192.0.2.256", "2001:db8::/129", "fe80::1%eth0", "::ffff:192.0.2.1", 3221225985, None,
     b"\xc0\x00\x02\x01", "192.0.2.0/255.255.255.128/1", "localhost"],
)  # fmt: skip
def test_what_is_no_address(address):
    with pytest.raises(InvalidError):
        model.parse_address(address)


@given(ports)
def test_ports_stay_as_they_are(text):
    low, _, high = text.partition("-")
    assert model.parse_ports(text) == (text if high != low else low)


@pytest.mark.parametrize(
    "port", [0, 65536, -1, True, "", "0", "80-", "-80", "90-80", "80,443", "080000", 1.5, None, "\uff18\uff10"]
)
def test_what_is_no_port(port):
    with pytest.raises(InvalidError):
        model.parse_ports(port)


def test_ports_may_be_numbers_and_ranges_of_one():
    assert model.parse_ports(80) == "80"
    assert model.parse_ports("80-80") == "80"


@pytest.mark.parametrize(("proto", "name"), [("TCP", "tcp"), (6, "tcp"), ("17", "udp"), (89, "89"), ("255", "255")])
def test_protocols(proto, name):
    assert model.parse_proto(proto) == name


@pytest.mark.parametrize("proto", ["", "256", -1, "tpc", None, 6.0, True, "006 "])
def test_what_is_no_protocol(proto):
    with pytest.raises(InvalidError):
        model.parse_proto(proto)


@given(flows)
def test_a_flow_is_read_as_it_travels(fields):
    flow = Flow.parse(fields)
    assert Flow.parse(flow.as_dict()) == flow
    assert set(flow.as_dict()) == set(fields)
    assert Flow.parse(flow) is flow
    assert all(f"{name}=" in str(flow) for name in fields)


def test_fields_that_are_none_are_wildcards():
    assert Flow.parse({"proto": None}) == Flow() == Flow.parse({})
    assert str(Flow()) == "everything"


@given(anything)
def test_any_value_is_a_flow_or_refused(value):
    try:
        Flow.parse(value)
    except InvalidError:
        pass


@given(st.dictionaries(st.sampled_from([*Flow.__slots__, "port", ""]), anything, max_size=4))
def test_any_table_is_a_flow_or_refused(table):
    try:
        flow = Flow.parse(table)
    except InvalidError:
        return
    assert Flow.parse(flow.as_dict()) == flow


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"port": 80}, "no field 'port'"),
        ({"host": "a.example", "remote": "192.0.2.1"}, "either a host or a remote"),
        ({"local": "192.0.2.1", "remote": "2001:db8::1"}, "different address families"),
        ({"proto": "icmp", "remote_port": 80}, "has no ports"),
        ({"remote": "192.0.2.1/24"}, "address '192.0.2.1/24'"),
        ("tcp", "not a table"),
    ],
)
def test_a_flow_that_cannot_be_says_why(fields, words):
    with pytest.raises(InvalidError, match=words):
        Flow.parse(fields)


def test_flows_are_values():
    one = Flow.parse({"remote": "192.0.2.1/32", "remote_port": 443, "proto": "TCP"})
    assert {one: 1}[Flow(remote="192.0.2.1", remote_port="443", proto="tcp")] == 1
    with pytest.raises(AttributeError):
        one.proto = "udp"
