"""The contract between our client, a ubusd and a `ubus` command: each pair of stand-in and real part answers the same.

Without OPENWRT_ROOT the stand-ins are held to what is written here, which is what openwrt/ubus answered.
"""

import select
import subprocess
import time

import pytest

from isdf.ubus import Method, StatusError, blobmsg, message
from isdf.ubus.message import Attr, Status

from .bus import Bus
from .fixtures import UBUSD
from .programs import choices

UBUS = choices("ubus")


# -- each message of the protocol, with and without what it needs ------------------------------------------------------


@pytest.fixture
def parties(bus, connect):
    """Two connections; `one` has a named object, `two` a nameless one."""
    one, two = connect(bus), connect(bus)
    named = one.add("contract.one", {"get": Method(lambda request: {"n": 1}, {"n": "int"})})
    heard = two.subscribe("contract.nobody", print)
    yield one, two, named.id, heard.id
    named.remove()


def ask(connection, type, attrs, peer=0):
    """The status that ubusd gives, and the attributes of its data messages."""
    try:
        return 0, [sorted(got.attrs) for got in connection.exchange(type, peer, attrs)]
    except StatusError as error:
        return error.status, []


def test_each_message_has_its_status(parties):
    _, two, named, nameless = parties
    gone = 0x00ABCDEF
    call = {Attr.METHOD: "get", Attr.DATA: b""}
    register = {Attr.OBJID: 1, Attr.METHOD: "register"}
    send = {Attr.OBJID: 1, Attr.METHOD: "send"}

    def data(**table):
        return {Attr.DATA: blobmsg.encode(table)}

    signed = (nameless ^ 0x80000000) - 0x80000000
    signed_named = (named ^ 0x80000000) - 0x80000000
    expected = [
        (message.HELLO, {}, (Status.INVALID_COMMAND, [])),
        (message.MONITOR, {}, (Status.INVALID_COMMAND, [])),
        (99, {}, (Status.INVALID_COMMAND, [])),
        (message.PING, {}, (0, [[]])),
        (message.LOOKUP, {Attr.OBJPATH: "contract.one"}, (0, [[2, 3, 5, 6]])),
        (message.LOOKUP, {Attr.OBJPATH: "contract.*"}, (0, [[2, 3, 5, 6]])),
        (message.LOOKUP, {Attr.OBJPATH: "contract.two"}, (Status.NOT_FOUND, [])),
        (message.LOOKUP, {Attr.OBJPATH: "zzz*"}, (Status.NOT_FOUND, [])),
        (message.LOOKUP, {Attr.OBJPATH: ""}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {Attr.OBJID: named, Attr.DATA: b""}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {Attr.OBJID: gone, **call}, (Status.NOT_FOUND, [])),
        (message.INVOKE, {**register}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**register, **data(pattern="x")}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**register, **data(pattern=1, object=signed)}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**register, **data(pattern="x", object="1")}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**register, **data(pattern="x", object=3)}, (Status.PERMISSION_DENIED, [])),
        (message.INVOKE, {**register, **data(pattern="x", object=gone)}, (Status.NOT_FOUND, [])),
        (message.INVOKE, {**register, **data(pattern="x", object=signed_named)}, (Status.PERMISSION_DENIED, [])),
        (message.INVOKE, {**register, **data(pattern="", object=signed)}, (Status.PERMISSION_DENIED, [])),
        (message.INVOKE, {**register, **data(pattern="x", object=signed)}, (0, [])),
        (message.INVOKE, {**send, **data(id="x")}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**send, **data(id="x", data=[])}, (Status.INVALID_ARGUMENT, [])),
        (message.INVOKE, {**send, **data(id="ubus.x", data={})}, (Status.PERMISSION_DENIED, [])),
        (message.INVOKE, {**send, **data(id="x", data={})}, (0, [])),
        (message.INVOKE, {**send, Attr.METHOD: "other"}, (Status.INVALID_COMMAND, [])),
        (message.INVOKE, {Attr.OBJID: 2, Attr.METHOD: "query"}, (0, [[3, 7]])),
        (message.INVOKE, {Attr.OBJID: 2, Attr.METHOD: "other"}, (Status.INVALID_COMMAND, [])),
        (message.INVOKE, {Attr.OBJID: 3, Attr.METHOD: "other"}, (Status.METHOD_NOT_FOUND, [])),
        (message.INVOKE, {Attr.OBJID: 3, Attr.METHOD: "remove"}, (0, [])),
        (message.ADD_OBJECT, {Attr.OBJPATH: "contract.one"}, (Status.INVALID_ARGUMENT, [])),
        (message.ADD_OBJECT, {Attr.OBJTYPE: gone}, (0, [[3]])),
        (message.ADD_OBJECT, {Attr.SIGNATURE: b""}, (0, [[3, 5]])),
        (message.ADD_OBJECT, {Attr.SIGNATURE: b"\0\0\0\x05x\0\0\0"}, (0, [[3]])),
        (message.REMOVE_OBJECT, {}, (Status.INVALID_ARGUMENT, [])),
        (message.REMOVE_OBJECT, {Attr.OBJID: gone}, (Status.NOT_FOUND, [])),
        (message.REMOVE_OBJECT, {Attr.OBJID: named}, (Status.PERMISSION_DENIED, [])),
        (message.REMOVE_OBJECT, {Attr.OBJID: 1}, (Status.PERMISSION_DENIED, [])),
        (message.SUBSCRIBE, {}, (Status.INVALID_ARGUMENT, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless}, (Status.INVALID_ARGUMENT, [])),
        (message.SUBSCRIBE, {Attr.OBJID: gone, Attr.TARGET: named}, (Status.NOT_FOUND, [])),
        (message.SUBSCRIBE, {Attr.OBJID: named, Attr.TARGET: nameless}, (Status.INVALID_ARGUMENT, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: gone}, (Status.NOT_FOUND, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: 1}, (Status.NOT_FOUND, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: nameless}, (Status.INVALID_ARGUMENT, [])),
        (message.UNSUBSCRIBE, {}, (Status.INVALID_ARGUMENT, [])),
        (message.UNSUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: named}, (Status.NOT_FOUND, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: named}, (0, [])),
        (message.UNSUBSCRIBE, {Attr.OBJID: named, Attr.TARGET: named}, (Status.INVALID_ARGUMENT, [])),
        (message.UNSUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: named}, (0, [])),
        (message.NOTIFY, {}, (Status.INVALID_ARGUMENT, [])),
        (message.NOTIFY, {Attr.OBJID: gone, Attr.METHOD: "x"}, (Status.NOT_FOUND, [])),
        (message.NOTIFY, {Attr.OBJID: named, Attr.METHOD: "x"}, (Status.PERMISSION_DENIED, [])),
        (message.NOTIFY, {Attr.OBJID: 1, Attr.METHOD: "x"}, (Status.PERMISSION_DENIED, [])),
        (message.NOTIFY, {Attr.OBJID: nameless, Attr.METHOD: "x"}, (0, [])),
        # What has another length than its kind: some attributes are looked at, some are not.
        (message.NOTIFY, {Attr.OBJID: b"x", Attr.METHOD: "x"}, (Status.INVALID_ARGUMENT, [])),
        (message.SUBSCRIBE, {Attr.OBJID: nameless, Attr.TARGET: b"\0\0\0\0\0"}, (Status.NOT_FOUND, [])),
    ]
    answers = [(type, attrs, ask(two, type, attrs)) for type, attrs, _ in expected]
    assert answers == expected


def test_a_call_may_leave_out_its_data(parties, until):
    _, two, named, _ = parties
    ended = []
    two.request(5, named, {Attr.OBJID: named, Attr.METHOD: "get"}, lambda status, _: ended.append(status))
    until(lambda: ended)
    assert ended == [Status.INVALID_ARGUMENT]


def test_events_go_by_pattern_once_to_each_object_and_not_back(parties, until):
    one, two, _, _ = parties
    heard = []
    patterns = ["a", "a*", "ab", "abc*", "*", "b*", "ab.c", "abd"]
    listeners = [two.listen(p, lambda event, _, p=p: heard.append((event, p))) for p in patterns]
    # One object that hears by two patterns.
    two.event("register", {"object": (listeners[0].id ^ 0x80000000) - 0x80000000, "pattern": "a*"})
    for event in ("a", "ab", "abc", "abcd", "b", "c", "ab.c", "end"):
        one.send(event)
        two.send(event)
    until(lambda: ("end", "*") in heard)
    assert {event: sorted(p for e, p in heard if e == event) for event, _ in heard} == {
        "a": ["*", "a", "a*"],
        "ab": ["*", "a", "a*", "ab"],
        "abc": ["*", "a", "a*", "abc*"],
        "abcd": ["*", "a", "a*", "abc*"],
        "b": ["*", "b*"],
        "c": ["*"],
        "ab.c": ["*", "a", "a*", "ab.c"],
        "end": ["*"],
    }


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(a, b) for a in UBUS for b in UBUSD], ids=" with ".join)
def command(request, tmp_path_factory):
    """`command(*words)`: run `ubus`; a popen. Each `ubus` there is, with each `ubusd` there is."""
    ubus, ubusd = request.param
    with Bus(tmp_path_factory.mktemp("bus"), UBUSD[ubusd]) as bus:

        def run(*words):
            argv = [*UBUS[ubus], "-s", bus.socket, *words]
            return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        run.bus = bus
        yield run


@pytest.fixture
def typed(command, connect, until, loop):
    """`typed(*words)`: what the command printed, what it complained of, its exit code; `contract.one` is served."""
    owner = connect(command.bus)
    typed_in = []

    def echo(request):
        typed_in.append(request.args)
        return request.args

    def refuse(request):
        raise StatusError(Status.NOT_SUPPORTED)

    types = ("str", "int", "bool", "list", "dict", "float", "int64", "any")
    methods = {
        "echo": Method(echo, {f"a_{kind}": kind for kind in types}),
        "nothing": Method(lambda request: None),
        "empty": Method(lambda request: {}),
        "refuse": Method(refuse),
    }
    owner.add("contract.one", methods)
    owner.add("contract.two", {})

    def run(*words):
        process = command(*words)
        until(lambda: process.poll() is not None)
        return *process.communicate(), process.returncode

    run.owner, run.args = owner, typed_in
    return run


@pytest.mark.system
def test_list(typed):
    assert typed("list") == ("contract.one\ncontract.two\n", "", 0)
    assert typed("list", "contract.t*") == ("contract.two\n", "", 0)
    assert typed("list", "nobody") == ("", "Command failed: Not found\n", 4)
    out, complaint, code = typed("-v", "list", "contract.one")
    first, *methods = out.splitlines()
    assert first.startswith("'contract.one' @")
    assert len(first) == len("'contract.one' @00000000")
    assert methods == [
        '\t"echo":{"a_str":"String","a_int":"Integer","a_bool":"Boolean","a_list":"Array","a_dict":"Table",'
        '"a_float":"(unknown)","a_int64":"(unknown)","a_any":"(unknown)"}',
        '\t"nothing":{}',
        '\t"empty":{}',
        '\t"refuse":{}',
    ]
    assert (complaint, code) == ("", 0)
    assert typed("list", "-v", "contract.two")[0].startswith("'contract.two' @")


@pytest.mark.system
def test_call(typed):
    args = '{"s":"a\\"\\\\\\n\\u0001ß","n":[1,-5000000000,true,null,1.5,{}],"t":{"u":{"v":[]}},"":0}'
    out, complaint, code = typed("call", "contract.one", "echo", args)
    assert typed.args == [
        {"s": 'a"\\\n\x01ß', "n": [1, -5000000000, True, None, 1.5, {}], "t": {"u": {"v": []}}, "": 0}
    ]
    assert (complaint, code) == ("", 0)
    assert out == (
        '{\n\t"s": "a\\"\\\\\\n\\u0001ß",\n\t"n": [\n\t\t1,\n\t\t-5000000000,\n\t\ttrue,\n\t\tnull,\n\t\t1.500000,\n'
        '\t\t{\n\t\t\t\n\t\t}\n\t],\n\t"t": {\n\t\t"u": {\n\t\t\t"v": [\n\t\t\t\t\n\t\t\t]\n\t\t}\n\t},\n\t0\n}\n'
    )
    assert typed("-S", "call", "contract.one", "echo", '{"a":1,"b":[1,{"c":"d"}]}')[0] == '{"a":1,"b":[1,{"c":"d"}]}\n'
    assert typed("call", "contract.one", "nothing") == ("", "", 0)
    assert typed("call", "contract.one", "empty") == ("{\n\t\n}\n", "", 0)


@pytest.mark.system
@pytest.mark.parametrize(
    ("words", "reason", "code"),
    [
        ("contract.one refuse", "Operation not supported", 8),
        ("contract.one none", "Method not found", 3),
        ("contract.one echo {", "Parsing message data failed", 12),
        ("contract.one echo []", "Parsing message data failed", 12),
    ],
)
def test_a_failed_call(typed, words, reason, code):
    assert typed("call", *words.split()) == ("", f"Command failed: ubus call {words} ({reason})\n", 256 - code)


@pytest.mark.system
def test_other_failures(typed):
    assert typed("call", "nobody", "echo") == ("", "Command failed: Not found\n", 4)
    assert typed("-S", "call", "contract.one", "none") == ("", "", 3)
    assert typed("send", "ubus.x") == ("", "Command failed: Permission denied\n", 6)
    assert typed("send", "x", "nonsense") == ("", "Command failed: Parsing message data failed\n", 12)
    assert typed("subscribe", "nobody")[1:] == ("Error while registering for event 'nobody': Not found\n", 255)
    assert typed("-s", "/nowhere/at/all", "list")[1:] == ("Failed to connect to ubus\n", 255)
    for words in ((), ("call", "one"), ("nonsense",), ("wait_for",)):
        out, complaint, code = typed(*words)
        assert out == ""
        assert complaint.startswith("Usage: ")
        assert code == (1 if not words else 254)


def lines(process, count):
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


@pytest.mark.system
def test_listen_and_send(command, typed, until):
    listener = command("listen", "contract.e*", "other")
    heard = []
    # Until the listener is there, whose coming nothing tells, the first event is repeated.
    deadline = time.monotonic() + 5
    while not select.select([listener.stdout], [], [], 0.02)[0] and time.monotonic() < deadline:
        typed.owner.send("other", {"n": 0})
    assert typed("send", "contract.event", '{"a":[1,"b"]}') == ("", "", 0)
    assert typed("send", "contract.event") == ("", "", 0)
    while '"contract.event": {}' not in "".join(heard):
        heard += lines(listener, 1)
    listener.kill()
    listener.communicate()
    assert heard[0] == '{ "other": {"n":0} }'
    assert heard[-2:] == ['{ "contract.event": {"a":[1,"b"]} }', '{ "contract.event": {} }']


@pytest.mark.system
def test_subscribe(command, typed, until):
    told = typed.owner.add("contract.told", {"x": Method(print)})
    process = command("subscribe", "contract.told")
    until(lambda: told.subscribers)
    told.notify("tick", {"n": 1})
    assert lines(process, 1) == ['{ "tick": {"n":1} }']
    process.kill()
    process.communicate()
    until(lambda: not told.subscribers)


@pytest.mark.system
def test_wait_for(command, typed, until):
    assert typed("wait_for", "contract.one", "contract.two") == ("", "", 0)
    assert typed("-t", "1", "wait_for", "nobody") == ("", "Command failed: Request timed out\n", 7)
    waiting = command("-t", "5", "wait_for", "contract.one", "contract.late")
    heard = []
    typed.owner.listen("ubus.object.*", heard.append)
    typed.owner.add("contract.late", {"x": Method(print)})
    until(lambda: waiting.poll() is not None)
    assert (*waiting.communicate(), waiting.returncode) == ("", "", 0)
