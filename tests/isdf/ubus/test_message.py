"""Messages survive however a stream splits or joins them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf.ubus import message
from isdf.ubus.message import Attr, Message, Reader, Status, StatusError

# The bytes of `ubus call isdf status` as openwrt/ubus sends them: LOOKUP of "isdf".
LOOKUP = "00040001000000000000001002000009697364660000 0000".replace(" ", "")


def same(a: Message, b: Message) -> bool:
    return (a.type, a.seq, a.peer, a.attrs) == (b.type, b.seq, b.peer, b.attrs)


def test_a_message_has_the_bytes_of_libubus():
    assert message.pack(message.LOOKUP, 1, 0, {Attr.OBJPATH: "isdf"}).hex() == LOOKUP


def test_attributes_are_read_by_their_type_and_none_where_they_do_not_have_it():
    data = message.pack(
        message.INVOKE, 7, 9, {Attr.OBJID: 0x80000001, Attr.METHOD: "list", Attr.NO_REPLY: True, Attr.DATA: b"ab"}
    )
    (got,) = Reader().feed(data)
    assert (got.type, got.seq, got.peer) == (message.INVOKE, 7, 9)
    assert got.number(Attr.OBJID) == 0x80000001
    assert got.text(Attr.METHOD) == "list"
    assert got.flag(Attr.NO_REPLY)
    assert got.attrs[Attr.DATA] == b"ab"
    assert got.number(Attr.DATA) is got.text(Attr.DATA) is got.number(Attr.STATUS) is got.text(Attr.USER) is None
    assert not got.flag(Attr.DATA)
    assert not got.flag(Attr.ACTIVE)


ATTRS = st.dictionaries(st.integers(1, 13), st.binary(max_size=30), max_size=5)
MESSAGES = st.tuples(st.integers(0, 11), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), ATTRS)


@given(st.lists(MESSAGES, max_size=6), st.data())
def test_a_stream_may_be_cut_anywhere(messages, data):
    stream = b"".join(message.pack(*m) for m in messages)
    reader, found = Reader(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert len(found) == len(messages)
    assert all(same(a, Message(*b)) for a, b in zip(found, messages, strict=True))


@given(st.lists(st.binary(max_size=60)))
def test_a_stream_of_random_bytes_gives_messages_or_format_error(pieces):
    reader = Reader()
    try:
        for piece in pieces:
            for got in reader.feed(piece):
                got.text(Attr.METHOD), got.number(Attr.OBJID), got.flag(Attr.ACTIVE)
    except FormatError:
        pass


@pytest.mark.parametrize("header", ["010000000000000000000004", "000000000000000000000003", "000000000000000000100401"])
def test_a_header_of_another_version_or_an_impossible_length_is_refused(header):
    with pytest.raises(FormatError):
        Reader().feed(bytes.fromhex(header))


def test_too_much_for_one_message_is_refused_before_it_is_sent():
    with pytest.raises(StatusError) as caught:
        message.pack(message.DATA, 1, 0, {Attr.DATA: bytes(1 << 20)})
    assert caught.value.status == Status.NO_MEMORY


def test_a_status_error_says_what_the_ubus_command_says():
    error = StatusError(Status.PERMISSION_DENIED, "isdf pull")
    assert (error.status, error.name, str(error)) == (6, "Permission denied", "isdf pull: Permission denied")
    assert str(StatusError(99)) == "Unknown error: 99"
