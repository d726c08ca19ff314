"""What a ubusd does with a client that is slow, goes, or talks nonsense; with OPENWRT_ROOT the real one, too."""

import select
import signal
import socket

import pytest

from isdf.errors import FormatError
from isdf.ubus import Method, blobmsg, message
from isdf.ubus.message import Attr

from .raw import Raw


@pytest.fixture
def raw(bus):
    made = []

    def connect():
        made.append(Raw(bus))
        return made[-1]

    yield connect
    for client in made:
        client.socket.close()


def test_a_client_that_does_not_read_loses_messages_and_no_piece_of_one(bus, connect, raw, loop):
    """ubusd keeps a megabyte for it beside what the socket holds, and drops what comes then."""
    sleeper, talker = raw(), connect(bus)
    status, data = sleeper.ask(message.ADD_OBJECT, {})
    subscriber = data[0].number(Attr.OBJID)
    told = talker.add("isdf.loud", {})
    attrs = {Attr.OBJID: subscriber, Attr.TARGET: told.id}
    assert sleeper.ask(message.SUBSCRIBE, attrs)[0] == status == 0
    size, sent = 50_000, 60
    for n in range(sent):
        told.notify("piece", {"n": n, "data": "x" * size})
        talker.objects("isdf.loud")  # ubusd has seen it
    received = []
    while select.select([sleeper.socket], [], [], 0.2)[0]:
        try:
            received += sleeper._reader.feed(sleeper.socket.recv(65536))
        except FormatError:
            pytest.fail("a message was cut")
    numbers = [blobmsg.decode(got.attrs[Attr.DATA])["n"] for got in received]
    assert numbers == list(range(len(numbers)))
    assert 1_000_000 < len(numbers) * size < 1_700_000
    told.notify("after", {})
    assert sleeper.receive().text(Attr.METHOD) == "after"
    told.remove()


def test_a_list_of_many_objects_reaches_a_slow_client_complete(bus, connect, raw):
    owner, slow = connect(bus), raw()
    for n in range(600):
        owner.add(f"isdf.object{n:03}", {"x" * 1000: Method(print, {"y" * 1000: "str"})})
    slow.socket.sendall(message.pack(message.LOOKUP, 1, 0, {}) + message.pack(message.PING, 2, 0, {}))
    assert select.select([slow.socket], [], [], 5)[0]
    found, statuses = [], []
    while len(statuses) < 2:
        got = slow.receive()
        if got.type == message.STATUS:
            statuses.append(got.seq)
        elif got.text(Attr.OBJPATH):
            found.append(got.text(Attr.OBJPATH))
    assert found == [f"isdf.object{n:03}" for n in range(600)]
    assert sorted(statuses) == [1, 2]


@pytest.mark.parametrize("length", ["00000003", "00100001", "00000000"])
def test_a_client_that_cannot_be_followed_is_disconnected(raw, length):
    client = raw()
    client.socket.sendall(bytes.fromhex("0004000100000000" + length))
    with pytest.raises(ConnectionResetError):
        client.receive()


def test_messages_may_come_in_pieces_and_together(raw):
    client = raw()
    stream = b"".join(message.pack(message.PING, seq, 9, {Attr.DATA: b"x" * seq}) for seq in range(1, 40))
    for n in range(200):
        client.socket.sendall(stream[n : n + 1])
    client.socket.sendall(stream[200:])
    got = [client.receive() for _ in range(2 * 39)]
    assert [(m.type, m.seq, m.peer) for m in got] == [
        (type, seq, 9) for seq in range(1, 40) for type in (message.DATA, message.STATUS)
    ]
    assert got[20].attrs == {Attr.DATA: b"x" * 11}


def test_what_a_client_says_right_before_it_goes_is_not_heard(own_bus, connect, until):
    heard, root = [], connect(own_bus)
    root.listen("ubus.object.*", lambda event, data: heard.append((event, data["path"])))
    brief = Raw(own_bus)
    brief.ask(message.ADD_OBJECT, {Attr.OBJPATH: "isdf.brief"})
    own_bus.process.send_signal(signal.SIGSTOP)
    brief.socket.sendall(message.pack(message.ADD_OBJECT, 1, 0, {Attr.OBJPATH: "isdf.last"}))
    brief.socket.close()
    own_bus.process.send_signal(signal.SIGCONT)
    until(lambda: len(heard) == 2)
    assert heard == [("ubus.object.add", "isdf.brief"), ("ubus.object.remove", "isdf.brief")]


def test_who_says_no_more_is_still_sent_what_waits_for_him(bus, connect, raw):
    sleeper, talker = raw(), connect(bus)
    subscriber = sleeper.ask(message.ADD_OBJECT, {})[1][0].number(Attr.OBJID)
    told = talker.add("isdf.loud", {})
    sleeper.ask(message.SUBSCRIBE, {Attr.OBJID: subscriber, Attr.TARGET: told.id})
    for n in range(10):
        told.notify("piece", {"n": n, "data": "x" * 50_000})
    talker.objects("isdf.loud")  # ubusd has seen it
    sleeper.socket.shutdown(socket.SHUT_WR)
    talker.objects("isdf.loud")
    assert [blobmsg.decode(sleeper.receive().attrs[Attr.DATA])["n"] for _ in range(10)] == list(range(10))
    with pytest.raises(ConnectionResetError):
        sleeper.receive()
    told.remove()


def test_a_signature_is_read_no_deeper_than_its_methods(raw):
    """An element within that makes no sense is passed on as it came; a method without a name refuses all of them."""
    client = raw()
    method = blobmsg.encode({"m": {"argument": 3}})
    odd = method.replace(b"argument", b"argu\0ent")
    for path, signature in (("isdf.odd", odd + method), ("isdf.bare", b""), ("", method)):
        attrs = {Attr.OBJPATH: path, Attr.SIGNATURE: signature}
        status, data = client.ask(message.ADD_OBJECT, attrs)
        assert (status, sorted(data[0].attrs)) == (0, [Attr.OBJID, Attr.OBJTYPE])
        status, data = client.ask(message.LOOKUP, {Attr.OBJPATH: path + "*"} if path else {})
        assert (status, data[0].attrs[Attr.SIGNATURE]) == (0, signature)
    status, data = client.ask(message.ADD_OBJECT, {Attr.SIGNATURE: method + blobmsg.encode({"": {}})})
    assert (status, sorted(data[0].attrs)) == (0, [Attr.OBJID])
