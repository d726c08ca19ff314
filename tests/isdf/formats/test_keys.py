"""The keys statement: one form, byte for byte, and no other is read."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf.formats import keys, usign
from isdf.formats.keys import Keys
from isdf.formats.usign import PublicKey
from isdf.value import replace


def pem(body: bytes) -> str:
    text = base64.b64encode(body).decode()
    rows = "".join(f"{text[i : i + 64]}\n" for i in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{rows}-----END CERTIFICATE-----\n"


CATALOGUE = PublicKey(b"catalog.", bytes(range(32))).line
ASSIGNMENT = PublicKey(b"assigner", bytes(range(32, 64))).line
AUTHORITY = pem(b"the new") + pem(b"the old")
GOOD = Keys(version=1790000000000, catalogue_key=CATALOGUE, assignment_key=ASSIGNMENT, authority=AUTHORITY)

lines = st.builds(lambda f, k: PublicKey(f, k).line, *(st.binary(min_size=n, max_size=n) for n in (8, 32)))
authorities = st.lists(st.binary(min_size=1, max_size=300).map(pem), max_size=3).map("".join)
statements = st.builds(
    lambda version, catalogue, assignment, authority: Keys(
        version=version, catalogue_key=catalogue, assignment_key=assignment, authority=authority
    ),
    st.integers(1, 2**53 - 1), lines, lines, authorities,
)  # fmt: skip


def test_its_bytes_are_these():
    authority = json.dumps(AUTHORITY)
    assert keys.dump(GOOD).decode() == (
        f'{{"assignment_key":"{ASSIGNMENT}","authority":{authority},"catalogue_key":"{CATALOGUE}",'
        '"format":1,"type":"isdf-keys","version":1790000000000}\n'
    )


@given(statements)
def test_it_is_read_as_written(item):
    data = keys.dump(item)
    assert keys.parse(data) == item
    assert usign.pad(data) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_a_statement_or_a_format_error(data):
    with pytest.raises(FormatError):
        keys.parse(data)


@given(st.data())
def test_a_changed_byte_gives_another_statement_or_none(data):
    changed = bytearray(keys.dump(GOOD))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert keys.parse(bytes(changed)) != GOOD
    except FormatError:
        pass


@given(
    st.sampled_from(sorted(json.loads(keys.dump(GOOD)))), st.none() | st.integers() | st.text() | st.lists(st.none())
)
def test_any_value_in_any_field_is_taken_or_a_format_error(field, value):
    text = json.dumps(json.loads(keys.dump(GOOD)) | {field: value}, sort_keys=True, separators=(",", ":"))
    try:
        keys.parse(usign.pad(text.encode() + b"\n"))
    except FormatError:
        pass


def rewritten(**changes):
    document = json.loads(keys.dump(GOOD))
    return (json.dumps(document | changes, sort_keys=True, separators=(",", ":")) + "\n").encode()


@pytest.mark.parametrize(
    "data",
    [
        keys.dump(GOOD).rstrip(), keys.dump(GOOD) + b"\n", b" " + keys.dump(GOOD), rewritten(more=1),
        rewritten(type="isdf-assignment"), rewritten(format=2), rewritten(format=True), b"[]", b"{}",
        keys.dump(GOOD).replace(b'"version":', b'"versio":'), b"x" * (keys.MAX_SIZE + 1), b"[" * 60_000,
        keys.dump(GOOD).replace(b'"format":1,', b'"format":1,"format":1,'),
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)  # fmt: skip
def test_any_other_form_is_refused(data):
    with pytest.raises(FormatError):
        keys.parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0}, {"version": 2**53}, {"version": True}, {"version": "1"}, {"catalogue_key": None},
        {"catalogue_key": ""}, {"assignment_key": f"untrusted comment: x\n{ASSIGNMENT}"},
        {"assignment_key": ASSIGNMENT + "\n"}, {"authority": None}, {"authority": "trust me"},
        {"authority": AUTHORITY.rstrip()}, {"authority": "x" + AUTHORITY}, {"authority": AUTHORITY + "\n"},
        {"authority": AUTHORITY.replace("\n", "\r\n")}, {"authority": AUTHORITY.replace("CERTIFICATE", "KEY")},
        {"authority": pem(b"x").replace("eA==", "eA=")}, {"authority": pem(b"x").replace("eA==", "")},
    ],
    ids=str,
)  # fmt: skip
def test_a_statement_that_cannot_be_is_refused(change):
    with pytest.raises(FormatError):
        replace(GOOD, **change)


def test_it_has_a_largest_size():
    with pytest.raises(FormatError, match="65536 are allowed"):
        keys.dump(replace(GOOD, authority=pem(bytes(1000)) * 50))
