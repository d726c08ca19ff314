"""The client against a ubusd: calls, objects, events, subscriptions."""

import pytest

from isdf import ubus
from isdf.errors import InvalidError, LimitError, UnavailableError
from isdf.ubus import Method, Status, StatusError, blobmsg, message
from isdf.ubus.message import Attr


@pytest.fixture
def served(connect, bus):
    """An object `isdf.test` on the bus, by a connection of its own."""
    connection = connect(bus)
    connection.requests = []

    def echo(request):
        connection.requests.append(request)
        return {"args": request.args}

    def fails(request):
        raise LimitError("three are enough")

    def refuses(request):
        raise StatusError(Status.NOT_SUPPORTED)

    def breaks(request):
        raise ZeroDivisionError

    connection.test = connection.add(
        "isdf.test",
        {
            "echo": Method(echo, {"name": "str", "rate": "int", "flow": "dict", "list": "list", "on": "bool"}),
            "nothing": Method(lambda request: None),
            "fails": Method(fails),
            "refuses": Method(refuses),
            "breaks": Method(breaks),
            "unsendable": Method(lambda request: {"x": object()}),
        },
    )
    yield connection
    if connection.connected:
        connection.test.remove()


def call_of(served, method):
    return {Attr.OBJID: served.test.id, Attr.METHOD: method}


@pytest.fixture
def ask(connect, bus, until):
    """`ask(method, args)`: call `isdf.test` from another connection while the loop runs; (status, reply)."""
    caller = connect(bus)

    def call(method, args=None, path="isdf.test"):
        ended = []
        caller.call_async(path, method, args, lambda *end: ended.append(end))
        return until(lambda: ended)[0]

    return call


def test_a_call_brings_the_arguments_and_takes_the_answer_home(served, ask):
    args = {"name": "a", "rate": 1600000, "big": 1 << 40, "on": True, "none": None, "list": [1, {"x": 0.5}], "t": {}}
    assert ask("echo", args) == (0, {"args": args})


def test_the_largest_call_arrives_although_ubusd_adds_to_it_who_calls(served, ask):
    """Otherwise anybody who may call could end the connection of whom he calls."""
    empty = len(message.pack(message.INVOKE, 1, 0, {**call_of(served, "echo"), Attr.DATA: blobmsg.encode({"x": ""})}))
    text = "y" * (8 + blobmsg.MAX_SIZE - empty)
    assert ask("nothing", {"x": text}) == (0, {})
    with pytest.raises(StatusError, match="larger than the bus carries"):
        ask("nothing", {"x": text + "yyyy"})
    assert served.connected


def test_the_handler_learns_who_calls(served, ask):
    ask("echo")
    (request,) = served.requests
    assert (request.user, request.group, request.object, request.method) == ("root", "root", "isdf.test", "echo")
    assert request.peer not in (0, served.id)


def test_types_are_not_enforced_and_what_uhttpd_adds_is_taken_away(served, ask):
    args = {"rate": "1600kbit", "unknown": 1, "flow": 7}
    assert ask("echo", {**args, "ubus_rpc_session": "0" * 32}) == (0, {"args": args})


def test_an_answer_may_be_nothing(served, ask):
    assert ask("nothing") == (0, {})


def test_an_error_of_ours_travels_in_the_reply(served, ask):
    error = {"type": "limit-reached", "title": "A limit is reached", "detail": "three are enough"}
    assert ask("fails") == (0, {"error": error})


def test_a_status_travels_as_status(served, ask):
    assert ask("refuses") == (Status.NOT_SUPPORTED, {})


def test_what_does_not_exist_is_told_apart(served, ask):
    assert ask("no_such_method") == (Status.METHOD_NOT_FOUND, {})
    assert ask("echo", path="isdf.nowhere") == (Status.NOT_FOUND, {})


def test_a_broken_handler_answers_with_a_status_and_the_next_call_is_served(served, ask, caplog):
    assert ask("breaks") == (Status.UNKNOWN_ERROR, {})
    assert "ZeroDivisionError" in caplog.text
    assert ask("unsendable") == (Status.UNKNOWN_ERROR, {})
    assert ask("nothing") == (0, {})


def test_messages_of_several_hundred_kilobytes_pass_both_ways(served, ask):
    args = {"text": "x" * 400_000, "list": [{"n": n} for n in range(5000)]}
    assert ask("echo", args) == (0, {"args": args})


def test_a_megabyte_is_refused_before_it_is_sent(served, ask):
    with pytest.raises(InvalidError):
        ask("echo", {"text": "x" * (1 << 20)})


def test_an_answer_may_come_later(served, connect, bus, until):
    waiting = []

    def wait(request):
        request.defer()
        waiting.append(request)

    served.add("isdf.later", {"wait": Method(wait)})
    caller, ended = connect(bus), []
    for n in range(3):
        caller.call_async("isdf.later", "wait", {"n": n}, lambda *end: ended.append(end), timeout=None)
    until(lambda: len(waiting) == 3)
    assert not ended
    waiting[1].reply({"n": 1})
    waiting[1].reply({"n": "only the first answer counts"})
    waiting[2].fail(LimitError("no more"))
    waiting[0].fail(StatusError(Status.NO_DATA))
    until(lambda: len(ended) == 3)
    assert ended[0] == (0, {"n": 1})
    assert ended[1][1]["error"]["type"] == "limit-reached"
    assert ended[2] == (Status.NO_DATA, {})


def test_a_call_ends_when_its_time_is_up(served, connect, bus, until):
    served.add("isdf.mute", {"wait": Method(lambda request: request.defer())})
    caller, ended = connect(bus), []
    caller.call_async("isdf.mute", "wait", {}, lambda *end: ended.append(end), timeout=0.05)
    until(lambda: ended)
    assert ended == [(Status.TIMEOUT, {})]
    with pytest.raises(StatusError, match=r"isdf\.mute wait: Request timed out") as caught:
        caller.call("isdf.mute", "wait", timeout=0.05)
    assert caught.value.status == Status.TIMEOUT


def test_a_cancelled_call_is_not_heard_of_again(served, connect, bus, until):
    caller, ended = connect(bus), []
    caller.call_async("isdf.test", "echo", {}, lambda *end: ended.append("cancelled")).cancel()
    caller.call_async("isdf.test", "nothing", {}, lambda *end: ended.append("other"))
    until(lambda: ended)
    assert ended == ["other"]


def test_a_handler_may_call_and_what_arrives_meanwhile_is_served_after_it(served, connect, bus, until):
    order, helper = [], connect(bus)

    def outer(request):
        order.append(f"outer {request.args['n']} begins")
        # `served` answers only when its own handler is done, `helper` is in the same loop: neither runs inside this.
        names = sorted(served.objects("isdf.*"))
        order.append(f"outer {request.args['n']} ends")
        return {"names": names}

    served.add("isdf.outer", {"call": Method(outer)})
    ended = []
    for n in range(3):
        helper.call_async("isdf.outer", "call", {"n": n}, lambda *end: ended.append(end))
    until(lambda: len(ended) == 3)
    assert order == [f"outer {n} {what}" for n in range(3) for what in ("begins", "ends")]
    assert ended[0] == (0, {"names": ["isdf.outer", "isdf.test"]})


def test_a_handler_may_call_its_own_process_without_a_deadlock(served, ask):
    served.add("isdf.self", {"call": Method(lambda request: served.call("isdf.test", "echo", {"from": "itself"}))})
    assert ask("call", path="isdf.self") == (0, {"args": {"from": "itself"}})


def test_objects_are_listed_with_their_methods(served):
    found = served.objects("isdf.t*")
    assert found["isdf.test"]["echo"] == {"name": "str", "rate": "int", "flow": "dict", "list": "list", "on": "bool"}
    assert found["isdf.test"]["nothing"] == {}
    assert served.objects("isdf.test").keys() == {"isdf.test"}
    assert served.objects("isdf.nowhere") == served.objects("nowhere.*") == {}
    assert "isdf.test" in served.objects()


def test_a_name_is_given_once(served, connect, bus):
    with pytest.raises(StatusError, match=r"isdf\.test was not added; the name is taken"):
        connect(bus).add("isdf.test", {})


def test_an_object_that_is_removed_is_gone_and_may_come_back_as_another(served, ask):
    added = served.add("isdf.brief", {"x": Method(lambda request: {"n": 1})})
    assert ask("x", path="isdf.brief") == (0, {"n": 1})
    added.remove()
    assert ask("x", path="isdf.brief") == (Status.NOT_FOUND, {})
    again = served.add("isdf.brief", {"x": Method(lambda request: {"n": 2})})
    assert ask("x", path="isdf.brief") == (0, {"n": 2})
    again.remove()
    served.add("isdf.brief", {"x": Method(lambda request: {"n": 3})})
    assert ask("x", path="isdf.brief") == (0, {"n": 3})  # the caller remembers the id of the second


def test_not_found_of_the_object_itself_is_passed_on_after_one_call(served, ask):
    calls = []

    def not_found(request):
        calls.append(request.args)
        raise StatusError(Status.NOT_FOUND)

    served.add("isdf.empty", {"get": Method(not_found)})
    assert ask("get", {"n": 1}, path="isdf.empty") == (Status.NOT_FOUND, {})
    assert ask("get", {"n": 2}, path="isdf.empty") == (Status.NOT_FOUND, {})
    assert calls == [{"n": 1}, {"n": 2}]


def test_events_reach_those_who_listen(served, connect, bus, until):
    heard, sender = [], connect(bus)
    served.listen("isdf.up", lambda *event: heard.append(event))
    some = served.listen("isdf.s*", lambda *event: heard.append(event))
    sender.send("isdf.up", {"n": 1})
    sender.send("isdf.upper", {"n": 2})
    sender.send("isdf.sold", {"n": 3})
    sender.send("isdf.s")
    until(lambda: len(heard) == 3)
    assert heard == [("isdf.up", {"n": 1}), ("isdf.sold", {"n": 3}), ("isdf.s", {})]
    some.remove()
    sender.send("isdf.sold", {"n": 4})
    sender.send("isdf.up", {"n": 5})
    until(lambda: len(heard) == 4)
    assert heard[-1] == ("isdf.up", {"n": 5})


def test_events_of_ubusd_itself_are_not_for_others_to_send(served):
    with pytest.raises(StatusError, match=r"event ubus\.object\.add: Permission denied"):
        served.send("ubus.object.add", {"path": "x", "id": 1})


def test_notifications_reach_subscribers_and_the_object_knows_whether_there_are_any(served, connect, bus, until):
    heard, changes = [], []
    assert not served.test.subscribers
    served.test.notify("nobody", {"hears": "this"})
    subscription = connect(bus).subscribe("isdf.test", lambda *n: heard.append(n), changes.append)
    until(lambda: served.test.subscribers and changes)
    assert subscription.present
    served.test.notify("tick", {"n": 1})
    served.test.notify("tock")
    until(lambda: len(heard) == 2)
    assert heard == [("tick", {"n": 1}), ("tock", {})]
    assert changes == [True]
    subscription.remove()
    until(lambda: not served.test.subscribers)


def test_a_subscription_follows_an_object_that_comes_and_goes(connect, bus, until):
    heard, changes, owner = [], [], connect(bus)
    subscription = connect(bus).subscribe("isdf.comet", lambda *n: heard.append(n), changes.append)
    assert not subscription.present
    for n in range(2):
        comet = owner.add("isdf.comet", {})
        until(lambda: subscription.present)
        comet.notify("hello", {"n": n})
        until(lambda: len(heard) == n + 1)  # noqa: B023
        comet.remove()
        until(lambda: not subscription.present)
    assert changes == [True, False, True, False]
    assert heard == [("hello", {"n": 0}), ("hello", {"n": 1})]


def test_a_call_under_way_ends_when_the_object_goes_and_we_are_subscribed(connect, bus, until):
    owner, caller, ended, asked = connect(bus), connect(bus), [], []

    def wait(request):
        request.defer()
        asked.append(request)

    held = owner.add("isdf.held", {"wait": Method(wait)})
    caller.subscribe("isdf.held", lambda *n: None)
    caller.call_async("isdf.held", "wait", {}, lambda *end: ended.append(end), timeout=None)
    until(lambda: asked)
    held.remove()
    until(lambda: ended)
    assert ended == [(Status.CONNECTION_FAILED, {})]


def test_a_malformed_call_is_an_invalid_argument(served, connect, bus, until):
    caller, ended = connect(bus), []
    target = caller.find("isdf.test")
    for body in (b"\x83\0\0\xff", None):
        attrs = {Attr.OBJID: target, Attr.METHOD: "echo", Attr.DATA: body}
        caller.request(5, target, attrs, lambda status, _: ended.append(status))
    until(lambda: len(ended) == 2)
    assert ended == [Status.INVALID_ARGUMENT] * 2


def test_nobody_at_the_socket_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError, match=r"No such file.*is ubusd running\?"):
        ubus.connect(str(tmp_path / "nothing.sock"))


def test_a_connection_without_a_loop_can_call(served, bus, loop):
    import threading

    stop = threading.Event()

    def serve():
        while not stop.is_set():
            loop.step(0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ubus.connect(bus.socket) as caller:
            assert caller.call("isdf.test", "echo", {"n": 1}) == {"args": {"n": 1}}
            with pytest.raises(RuntimeError, match="attached to a loop"):
                caller.call_async("isdf.test", "echo", {}, print)
    finally:
        stop.set()
        thread.join()
