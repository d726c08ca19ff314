"""The assignment: one form, byte for byte, and no other is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf.formats import assignment, usign
from isdf.formats.assignment import Assignment, Entry
from isdf.ubus import blobmsg
from isdf.value import replace

SIGNATURE = usign.Signature(bytes(8), bytes(64)).line
ENTRY = Entry(
    name="pay-per-site", package="isdf-service-pay-per-site", version="1.0.0", size=2345, sha256="0" * 64,
    filename="isdf-service-pay-per-site_1.0.0_all.ipk", signature=SIGNATURE, config={"site": "a.example"},
    since=1790000000, until=1790007200, order="1042",
)  # fmt: skip
GOOD = Assignment(
    device="home1", serial=1790000000000, issued=1790000000, expires=1790604800, push_floor=1790000000000,
    index_sha256="f" * 64, index_size=1234, feed="5" * 32, services=(ENTRY,),
)  # fmt: skip

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
configs = st.dictionaries(texts, json_values, max_size=4)
entries = st.builds(
    lambda name, config, since, length, priority: replace(
        ENTRY, name=name, package=f"isdf-service-{name}", config=config, since=since,
        until=None if length is None else since + length, priority=priority,
    ),
    st.from_regex(r"[a-z][a-z0-9-]{0,26}", fullmatch=True), configs, st.integers(0, 2**40),
    st.none() | st.integers(1, 10**6), st.integers(-100, 100),
)  # fmt: skip
assignments = st.lists(entries, max_size=3, unique_by=lambda entry: entry.name).map(
    lambda services: replace(GOOD, services=tuple(services))
)


def test_its_bytes_are_these():
    assert assignment.dump(GOOD).decode() == (
        '{"device":"home1","expires":1790604800,'
        f'"feed":"{"5" * 32}","format":1,'
        f'"index":{{"sha256":"{"f" * 64}","size":1234}},"issued":1790000000,"push_floor":1790000000000,'
        '"serial":1790000000000,"services":[{"config":{"site":"a.example"},'
        '"filename":"isdf-service-pay-per-site_1.0.0_all.ipk","from":1790000000,"name":"pay-per-site",'
        '"offline_grace":1209600,"order":"1042",'
        f'"package":"isdf-service-pay-per-site","priority":0,"sha256":"{"0" * 64}","signature":"{SIGNATURE}",'
        '"size":2345,"until":1790007200,"version":"1.0.0"}],"type":"isdf-assignment"}\n'
    )


def test_two_newlines_keep_it_away_from_usigns_fault():
    data = assignment.dump(replace(GOOD, services=(replace(ENTRY, config={"site": "a" * 69}),)))
    assert data.endswith(b"}\n\n\n")
    assert (64 + len(data)) % 128 == 112


def test_the_secret_of_the_feed_is_not_in_what_a_log_may_print():
    assert "5" * 32 not in repr(GOOD)


def test_the_catalogue_signs_name_version_size_and_hash():
    assert ENTRY.catalogue_message() == b"isdf-service-pay-per-site 1.0.0 2345 " + b"0" * 64 + b"\n"


def test_the_longest_catalogue_message_is_short_of_usigns_fault():
    message = assignment.catalogue_message("isdf-service-" + "x" * 27, "1" * 32, 16 << 20, "0" * 64)
    assert usign.pad(message) == message
    assert len(message) < 174  # the first length above 47 that meets it


@given(assignments)
def test_it_is_read_as_written(item):
    data = assignment.dump(item)
    assert assignment.parse(data) == item
    assert usign.pad(data) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_an_assignment_or_a_format_error(data):
    with pytest.raises(FormatError):
        assignment.parse(data)


@given(st.data())
def test_a_changed_byte_gives_another_assignment_or_none(data):
    changed = bytearray(assignment.dump(GOOD))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert assignment.parse(bytes(changed)) != GOOD
    except FormatError:
        pass


@given(st.data(), json_values)
def test_any_value_in_any_field_is_taken_or_a_format_error(data, value):
    document = json.loads(assignment.dump(GOOD))
    place = data.draw(st.sampled_from([document, document["index"], document["services"][0]]))
    place[data.draw(st.sampled_from(sorted(place)))] = value
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        assignment.parse(usign.pad(text.encode() + b"\n"))
    except FormatError:
        pass


def rewritten(**changes):
    document = json.loads(assignment.dump(GOOD))
    return (json.dumps(document | changes, sort_keys=True, separators=(",", ":")) + "\n").encode()


GOOD_SERVICE = json.loads(assignment.dump(GOOD))["services"][0]


@pytest.mark.parametrize(
    "data",
    [
        assignment.dump(GOOD).rstrip(),
        assignment.dump(GOOD) + b"\n",
        b" " + assignment.dump(GOOD),
        assignment.dump(GOOD).decode().encode("utf-16"),
        assignment.dump(GOOD).replace(b'"format":1,', b'"format":1,"format":1,'),
        assignment.dump(GOOD).replace(b"1234}", b"1234.0}"),
        assignment.dump(GOOD).replace(b'"a.example"', b"NaN"),
        assignment.dump(GOOD).replace(b'"a.example"', b"1e999"),
        assignment.dump(GOOD).replace(b'"a.example"', rb'"\ud800"'),
        assignment.dump(GOOD).replace(b'"a.example"', b"[" * 100_000),
        assignment.dump(GOOD).replace(b'"a.example"', b"1" * 10_000),
        rewritten(more=1),
        rewritten(type="isdf-keys"),
        rewritten(format=2),
        rewritten(services=[{**GOOD_SERVICE, "more": 1}]),
        rewritten(services=[{**GOOD_SERVICE, "since": 1}]),
        rewritten(services=[GOOD_SERVICE, GOOD_SERVICE]),
        rewritten(services={}),
        rewritten(services=[[]]),
        rewritten(index=None),
        b"[]",
        b"x" * (assignment.MAX_SIZE + 1),
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
def test_any_other_form_is_refused(data):
    with pytest.raises(FormatError):
        assignment.parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Pay"}, {"name": "pay.site", "package": "isdf-service-pay.site"},
        {"package": "busybox"}, {"version": "1.0 x"}, {"version": ""}, {"version": "1" * 33},
        {"filename": "../x.ipk"}, {"filename": "/x.ipk"}, {"filename": "x.deb"}, {"size": 0}, {"size": True},
        {"size": 17 << 20}, {"sha256": "0" * 63}, {"sha256": "F" * 64}, {"signature": "x"}, {"signature": ""},
        {"signature": f"untrusted comment: x\n{SIGNATURE}"}, {"config": []}, {"config": None}, {"since": -1},
        {"since": 1.5}, {"until": 1790000000}, {"until": "tomorrow"}, {"priority": None}, {"order": "a b"},
        {"offline_grace": -1}, {"offline_grace": 1.5}, {"offline_grace": 2**40},
    ],
    ids=str,
)  # fmt: skip
def test_a_service_that_cannot_be_is_refused(change):
    with pytest.raises(FormatError):
        replace(ENTRY, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "Home 1"}, {"serial": 0}, {"serial": 2**53}, {"expires": 1790000000}, {"push_floor": -1},
        {"index_sha256": None}, {"index_size": 0}, {"feed": "F" * 32}, {"feed": "5" * 31}, {"services": (ENTRY, ENTRY)},
    ],
    ids=str,
)  # fmt: skip
def test_an_assignment_that_cannot_be_is_refused(change):
    with pytest.raises(FormatError):
        replace(GOOD, **change)


@given(configs)
def test_a_configuration_that_is_taken_is_carried_by_the_bus(config):
    carried = {"revision": 1, "config": replace(ENTRY, config=config).config}
    assert blobmsg.decode(blobmsg.encode(carried)) == carried


def nested(levels):
    return {"x": nested(levels - 1)} if levels else []


@pytest.mark.parametrize(
    "config",
    [nested(17), nested(900), {"x": 2**63}, {"x": -(2**63) - 1}, {"x": "a\0"}, {"\0": 1}, {"x": [["\0"]]},
     {"k" * 256: 1}, {"x": {"é" * 128: 1}}],
)  # fmt: skip
def test_a_configuration_that_no_bus_carries_is_refused(config):
    with pytest.raises(FormatError, match=r"config (nests|has a)"):
        replace(ENTRY, config=config)


def test_a_key_of_255_bytes_is_carried():
    assert blobmsg.encode({"config": replace(ENTRY, config={"k" * 255: 1}).config})


def test_sixteen_levels_are_carried():
    assert blobmsg.encode({"config": replace(ENTRY, config=nested(16)).config})


@pytest.mark.parametrize("config", [{"a": float("nan")}, {"a": {1, 2}}, {"a": b""}])
def test_a_configuration_that_is_not_json_is_not_written(config):
    with pytest.raises(FormatError):
        assignment.dump(replace(GOOD, services=(replace(ENTRY, config=config),)))
