"""blobmsg: the bytes that libubox makes, and nothing but FormatError on any others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.ubus import blobmsg

# Made with openwrt/libubox (blobmsg_add_*, the last by blobmsg_add_json_from_string).
REFERENCE = [
    ({}, ""),
    ({"a": ""}, "830000090001610000000000"),
    ({"name": "mirror"}, "8300001300046e616d6500006d6972726f720000"),
    ({"grü": "ß€"}, "8300001200046772c3bc0000c39fe282ac000000"),
    ({"on": True, "off": False}, "8700000d00026f6e00000000010000008700000d00036f666600000000000000"),
    ({"rate": 1600000, "neg": -1}, "85000010000472617465000000186a008500001000036e6567000000ffffffff"),
    (
        {"serial": 1790000000000, "neg": -1 - (1 << 31)},
        "84000018000673657269616c00000000000001a0c4506c008400001400036e6567000000ffffffff7fffffff",
    ),
    ({"pi": 3.25}, "880000140002706900000000400a000000000000"),
    ({"nil": None}, "8000000c00036e696c000000"),
    ({"t": {"k": "v"}}, "82000014000174008300000a00016b0076000000"),
    ({"list": [7, "x"]}, "8100002400046c69737400008500000c00000000000000078300000a0000000078000000"),
    (
        {
            "flow": {
                "host": "a.example",
                "ports": [80, "6881-6889", {}],
                "deep": {"er": [[True, None, -1.5]]},
            },
            "": False,
        },
        "8200009c0004666c6f770000830000160004686f73740000612e6578616d706c65000000810000340005706f727473008500000c"
        "00000000000000508300001200000000363838312d3638383900000082000008000000008200004400046465657000008100003800"
        "026572000000008100002c0000000087000009000000000100000080000008000000008800001000000000bff80000000000008700"
        "00090000000000000000",
    ),
]


@pytest.mark.parametrize(("value", "data"), REFERENCE)
def test_the_bytes_are_those_of_libubox(value, data):
    assert blobmsg.encode(value).hex() == data
    assert blobmsg.decode(bytes.fromhex(data)) == value


def test_int16_is_read_although_we_never_write_it():
    assert blobmsg.decode(bytes.fromhex("8600000a00017800fffe0000")) == {"x": -2}


def test_an_element_without_a_name_is_an_element_of_a_list_and_none_of_a_table():
    bare = bytes.fromhex("05000008 00000007".replace(" ", ""))
    assert blobmsg.decode(bare) == {}
    assert blobmsg.decode(bytes.fromhex("8100001000016c00") + bare) == {"l": [7]}


def test_the_first_of_two_elements_of_one_name_counts():
    assert blobmsg.decode(blobmsg.encode({"a": 1}) + blobmsg.encode({"a": 2})) == {"a": 1}


def test_text_ends_at_its_first_nul_and_broken_utf8_is_replaced():
    assert blobmsg.decode(bytes.fromhex("8300000c00016100") + b"a\0b\0") == {"a": "a"}
    assert blobmsg.decode(bytes.fromhex("8300000b00016100") + b"\xff\xfe\0\0") == {"a": "\ufffd\ufffd"}
    assert blobmsg.decode(blobmsg.encode({"a": "x\udcff"})) == {"a": "x?"}


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_what_is_encoded_is_decoded(table):
    data = blobmsg.encode(table)
    assert len(data) % 4 == 0
    assert blobmsg.decode(data) == table


def decode_or_format_error(data: bytes) -> None:
    try:
        blobmsg.encode(blobmsg.decode(data))
    except FormatError:
        pass


@given(st.binary(max_size=200))
def test_random_bytes_are_decoded_or_refused_as_malformed(data):
    decode_or_format_error(data)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.data())
def test_a_damaged_message_is_decoded_or_refused_as_malformed(table, data):
    message = bytearray(blobmsg.encode(table))
    for _ in range(data.draw(st.integers(0, 4)) if message else 0):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decode_or_format_error(bytes(message[: data.draw(st.integers(0, len(message)))]))


@pytest.mark.parametrize(
    "data",
    [
        "00",  # less than a header
        "80000003",  # shorter than its own header
        "83000020000161006100",  # longer than what is there
        "8300000a00ff610061000000",  # name longer than the element
        "8300000a0001616161000000",  # name without its NUL
        "830000080001610000",  # text without a byte
        "8300000a000161006161",  # text without NUL, cut padding
        "8300000a0001610061610000",  # text without NUL
        "8700000a0001610001010000",  # int8 of two bytes
        "8500000a0001610001010000",  # int32 of two bytes
        "88000009000161000100",  # double of one byte
        "8900000800016100",  # unknown type
    ],
)
def test_malformed_messages_are_refused(data):
    with pytest.raises(FormatError):
        blobmsg.decode(bytes.fromhex(data))


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_is_bounded_both_ways():
    assert blobmsg.decode(blobmsg.encode(nested(blobmsg.MAX_DEPTH))) == nested(blobmsg.MAX_DEPTH)
    with pytest.raises(InvalidError, match="deeper"):
        blobmsg.encode(nested(blobmsg.MAX_DEPTH + 1))
    data = b""
    for _ in range(50_000):
        length = len(data) + 8
        data = bytes([0x82]) + length.to_bytes(3, "big") + b"\0\1a\0" + data
        if len(data) > 10_000:
            break
    with pytest.raises(FormatError, match="deeper"):
        blobmsg.decode(data)


def test_number_of_elements_and_size_are_bounded():
    with pytest.raises(FormatError, match="elements"):
        blobmsg.decode(bytes.fromhex("00000004") * (blobmsg.MAX_ITEMS + 1))
    with pytest.raises(FormatError, match="more than"):
        blobmsg.decode(bytes(blobmsg.MAX_SIZE + 4))
    with pytest.raises(InvalidError, match="larger"):
        blobmsg.encode({"a": "x" * blobmsg.MAX_SIZE})
    with pytest.raises(InvalidError, match="larger"):
        blobmsg.encode({str(n): "x" * 65536 for n in range(17)})


@pytest.mark.parametrize(
    "table",
    [
        {"a": 1 << 63},
        {"a": -(1 << 63) - 1},
        {"a": object()},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {1: "a"},
        {"a\0b": 1},
        {"a": "x\0y"},
        {"x" * 65536: 1},
    ],
)
def test_what_the_bus_cannot_carry_is_refused(table):
    with pytest.raises(InvalidError):
        blobmsg.encode(table)
