"""ubusd dies and comes back: everything is there again, and who waited is told."""

import signal
import socket
import threading

import pytest

from isdf import ubus
from isdf.errors import UnavailableError
from isdf.ubus import Method, Status, StatusError, message
from isdf.ubus.message import Attr

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("isdf.ubus.link.BACKOFF", (0.01, 0.1))


def test_objects_listeners_and_subscriptions_are_renewed(own_bus, connect, until):
    server, client, heard, changes = connect(own_bus), connect(own_bus), [], []
    served = server.add("isdf.test", {"get": Method(lambda request: {"n": request.args["n"]})})
    client.listen("isdf.*", lambda *event: heard.append(event))
    subscription = client.subscribe("isdf.test", lambda *told: heard.append(told), changes.append)
    for n in range(3):
        until(lambda: subscription.present and served.subscribers)
        assert client.connected
        served.notify("told", {"n": n})
        server.send("isdf.event", {"n": n})
        client.call_async("isdf.test", "get", {"n": n}, lambda status, reply: heard.append((status, reply)))
        until(lambda: len(heard) == 3)
        assert sorted(heard, key=str) == [("isdf.event", {"n": n}), ("told", {"n": n}), (0, {"n": n})]
        heard.clear()
        own_bus.stop()
        until(lambda: not subscription.present and not server.connected)
        own_bus.start()
    until(lambda: len(changes) == 7)
    assert changes == [True, False] * 3 + [True]


def test_calls_under_way_end_and_late_answers_go_nowhere(own_bus, connect, until):
    server, client, asked, ended = connect(own_bus), connect(own_bus), [], []

    def wait(request):
        request.defer()
        asked.append(request)

    served = server.add("isdf.test", {"wait": Method(wait)})
    client.call_async("isdf.test", "wait", {}, lambda *end: ended.append(end), timeout=None)
    until(lambda: asked)
    old = served.id
    own_bus.stop()
    until(lambda: ended)
    assert ended == [(Status.CONNECTION_FAILED, {})]
    own_bus.start()
    until(lambda: served.id not in (0, old) and client.connected)
    asked[0].reply({"too": "late"})
    client.call_async("isdf.test", "wait", {}, lambda *end: ended.append(end))
    until(lambda: len(asked) == 2)
    asked[1].reply({"in": "time"})
    until(lambda: len(ended) == 2)
    assert ended[1] == (0, {"in": "time"})


def test_while_ubusd_is_away_a_call_fails_at_once_and_what_is_told_is_lost(own_bus, connect, until):
    client, ended = connect(own_bus), []
    served = client.add("isdf.test", {})
    own_bus.stop()
    until(lambda: not client.connected)
    with pytest.raises(UnavailableError, match="is ubusd running"):
        client.call("isdf.other", "get")
    client.call_async("isdf.other", "get", {}, lambda *end: ended.append(end))
    served.notify("nobody", {"hears": "this"})
    until(lambda: ended)
    assert ended == [(Status.CONNECTION_FAILED, {})]


def test_a_call_reconnects_without_waiting_for_the_loop(own_bus):
    with ubus.connect(own_bus.socket) as client:
        served = client.add("isdf.test", {"get": Method(lambda request: {"n": 1})})
        before = served.id
        own_bus.stop()
        with pytest.raises(StatusError) as caught:
            client.call("isdf.test", "get")
        assert caught.value.status == Status.CONNECTION_FAILED
        own_bus.start()
        assert client.call("isdf.test", "get") == {"n": 1}
        assert served.id not in (0, before)


def test_a_name_that_somebody_else_took_meanwhile_is_asked_for_until_it_is_free(own_bus, connect, until, monkeypatch):
    client = connect(own_bus)
    served = client.add("isdf.test", {})
    own_bus.stop()
    until(lambda: not client.connected)
    own_bus.start()
    with ubus.connect(own_bus.socket) as thief:
        try:
            thief.add("isdf.test", {})
        except StatusError:
            pytest.fail("the loop does not run, so the client cannot have been first")
        attempts = []
        monkeypatch.setattr(served, "register", lambda original=served.register: (attempts.append(1), original()))
        until(lambda: len(attempts) == 2)
        assert not client.connected
    until(lambda: client.connected and served.id)


def test_a_subscription_made_by_a_renewal_that_failed_is_made_again(own_bus, connect, until):
    server, client, heard = connect(own_bus), connect(own_bus), []
    told = server.add("isdf.told", {})
    subscription = client.subscribe("isdf.told", lambda *event: heard.append(event))
    served = client.add("isdf.test", {})
    until(lambda: subscription.present and told.subscribers)
    own_bus.stop()
    until(lambda: not client.connected and not server.connected)
    own_bus.start()
    with ubus.connect(own_bus.socket) as thief:
        thief.add("isdf.test", {})
        attempts, register = [], subscription.register
        subscription.register = lambda: (attempts.append(1), register())
        until(lambda: server.connected and told.id and len(attempts) == 2)
    until(lambda: client.connected and served.id and told.subscribers)
    told.notify("news", {})
    until(lambda: heard)


HELLO = message.pack(message.HELLO, 0, 4711, {})


@pytest.fixture
def impostor(tmp_path, loop):
    """`impostor(greeting)`: a connection, attached to the loop, to a socket that said `greeting`, and its other end."""
    path, opened = str(tmp_path / "bus.sock"), []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def accept(greeting):
        opened.append(listener.accept()[0])
        opened[-1].sendall(greeting)
        if not greeting:
            opened[-1].close()

    def connect(greeting=HELLO, timeout=5.0):
        accepting = threading.Thread(target=accept, args=(greeting,))
        accepting.start()
        try:
            opened.append(ubus.connect(path, timeout))
        finally:
            accepting.join()
        opened[-1].attach(loop)
        return opened[-1], opened[-2]

    yield connect
    for thing in (*opened, listener):
        thing.close()


@pytest.mark.parametrize(
    "greeting", [b"", HELLO[:9], b"HTTP/1.1 400 Bad Request", message.pack(message.DATA, 0, 1, {})]
)
def test_who_does_not_say_hello_is_no_ubusd(impostor, greeting):
    with pytest.raises(UnavailableError, match="does not answer"):
        impostor(greeting, timeout=0.05)


def test_an_answer_may_come_byte_by_byte(impostor, until):
    client, other = impostor()
    ended = []
    client.request(message.PING, 0, {}, lambda status, data: ended.append((status, data[0].attrs)))
    body = {Attr.DATA: b"x" * 50, Attr.METHOD: "y"}
    stream = message.pack(message.DATA, 1, 0, body) + message.pack(message.STATUS, 1, 0, {Attr.STATUS: 0})
    for n in range(len(stream)):
        assert not ended
        other.sendall(stream[n : n + 1])
        client.wait(ended, 0.001)
    until(lambda: ended)
    assert ended == [(0, {Attr.DATA: b"x" * 50, Attr.METHOD: b"y\0"})]


def test_answers_to_others_questions_are_passed_over(impostor, until):
    client, other = impostor()
    ended = []
    client.request(message.INVOKE, 77, {}, lambda status, _: ended.append(status))
    for seq, peer in ((9, 77), (1, 78), (1, 0)):
        other.sendall(message.pack(message.STATUS, seq, peer, {Attr.STATUS: 5}))
    other.sendall(message.pack(message.STATUS, 1, 77, {}))
    until(lambda: ended)
    assert ended == [Status.INVALID_ARGUMENT]  # what libubus makes of a status message without a status


def test_a_stream_that_cannot_be_followed_is_given_up(impostor, until):
    client, other = impostor()
    ended = []
    client.request(message.PING, 0, {}, lambda status, _: ended.append(status))
    other.sendall(b"\xff" * 12)
    until(lambda: ended)
    assert ended == [Status.CONNECTION_FAILED]
    assert not client.connected


def test_what_the_socket_does_not_take_at_once_goes_later_and_whole(impostor, until, loop):
    client, other = impostor()
    sent = [message.pack(message.PING, n, 0, {Attr.DATA: bytes([n]) * 100_000}) for n in range(20)]
    for data in sent:
        client.write(data)
    other.setblocking(False)
    received = bytearray()

    def read():
        try:
            while len(received) < sum(map(len, sent)):
                received.extend(other.recv(30_000))
        except BlockingIOError:
            pass
        return len(received) >= sum(map(len, sent))

    until(read)
    assert received == b"".join(sent)


def test_a_ubusd_that_takes_nothing_any_more_is_left(impostor, until, caplog):
    client, _ = impostor()
    for n in range(60):
        client.write(message.pack(message.PING, n, 0, {Attr.DATA: bytes(100_000)}))
    until(lambda: not client.connected)
    assert "takes nothing any more" in caplog.text


def test_a_ubusd_that_says_nothing_any_more_is_not_waited_for_for_ever(impostor):
    client, _ = impostor()
    client.timeout = 0.02
    with pytest.raises(StatusError, match="timed out"):
        client.objects()


def test_what_was_told_before_the_end_is_heard(own_bus, connect, until):
    """ubusd reads nothing more of a client that has gone, so the client stays until it has."""
    heard, brief = [], ubus.connect(own_bus.socket)
    told = brief.add("isdf.brief", {})
    subscription = connect(own_bus).subscribe("isdf.brief", lambda *told: heard.append(told))
    own_bus.process.send_signal(signal.SIGSTOP)
    told.notify("last", {"n": 1})
    threading.Timer(0.05, own_bus.process.send_signal, [signal.SIGCONT]).start()
    brief.close()
    until(lambda: not subscription.present)
    assert heard == [("last", {"n": 1})]


def test_a_ubusd_that_hangs_does_not_hold_up_the_end(own_bus, monkeypatch):
    monkeypatch.setattr("isdf.ubus.link.LAST_WORDS", 0.02)
    brief = ubus.connect(own_bus.socket)
    own_bus.process.send_signal(signal.SIGSTOP)
    brief.close()
    own_bus.process.send_signal(signal.SIGCONT)
    assert not brief.connected
