"""What a ubusd does for and against its clients; with OPENWRT_ROOT set the real one is held to the same."""

import os
import signal
import tempfile

import pytest

from isdf import ubus
from isdf.loop import Loop
from isdf.ubus import Method, StatusError, blobmsg, message
from isdf.ubus.message import Attr

from .bus import Bus
from .fixtures import UBUSD, settle
from .users import as_user, first_group

GROUP = first_group("nobody")


@pytest.fixture(params=UBUSD)
def open_bus(request):
    """A ubusd that is not started yet, in a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        bus = Bus(folder, UBUSD[request.param])
        yield bus
        bus.stop()


def attempts(path: str) -> dict:
    """What a user may do on the bus at `path`, tried out; the status of each attempt."""
    results = {}
    connection = ubus.connect(path)

    def attempt(name, function):
        try:
            results[name] = function() or 0
        except StatusError as error:
            results[name] = error.status

    attempt("objects", lambda: {path: sorted(methods) for path, methods in connection.objects().items()})
    for method in ("open", "closed"):
        attempt(method, lambda method=method: connection.call("isdf.door", method))
    attempt("hidden", lambda: connection.call("isdf.hidden", "open"))
    attempt("publish own", lambda: connection.add("isdf.own", {}) and 0)
    attempt("publish other", lambda: connection.add("isdf.other", {}) and 0)
    attempt("listen own", lambda: connection.listen("own.event", print) and 0)
    attempt("listen all", lambda: connection.listen("*", print) and 0)
    attempt("send own", lambda: connection.send("own.event"))
    attempt("send other", lambda: connection.send("other.event"))
    attempt("subscribe", lambda: connection.subscribe("isdf.door", print).present)
    return results


ACL = {
    "access": {"isdf.door": {"methods": ["open"]}},
    "publish": ["isdf.own"],
    "listen": ["own.*"],
    "send": ["own.*"],
    "subscribe": ["isdf.*"],
}
DENIED = {
    "objects": 0, "open": 6, "closed": 6, "hidden": 6, "publish own": 2, "publish other": 2, "listen own": 6,
    "listen all": 6, "send own": 6, "send other": 6, "subscribe": 0,
}  # fmt: skip


def try_as_nobody(bus: Bus) -> dict:
    """`attempts` as nobody, while root serves `isdf.door` and `isdf.hidden`; `isdf.door open` tells who called."""
    bus.start()
    reading, writing = os.pipe()
    server = os.fork()
    if not server:
        try:
            loop = Loop()
            connection = ubus.connect(bus.socket)
            who = Method(lambda request: {"user": request.user, "group": request.group})
            connection.add("isdf.door", {"open": who, "closed": who})
            connection.add("isdf.hidden", {"open": who})
            connection.attach(loop)
            os.write(writing, b"ready")
            loop.run()
        finally:
            os._exit(0)
    os.read(reading, 5)
    try:
        return as_user("nobody", lambda: attempts(bus.socket))
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.close(reading)
        os.close(writing)


@pytest.mark.system
def test_without_an_acl_a_user_may_do_nothing(open_bus):
    assert try_as_nobody(open_bus) == DENIED


@pytest.mark.system
@pytest.mark.parametrize("who", [{"user": "nobody"}, {"group": GROUP}])
def test_an_acl_opens_what_it_names_to_a_user_or_a_group(open_bus, who):
    open_bus.acl("test", {**who, **ACL})
    assert try_as_nobody(open_bus) == {
        "objects": {"isdf.door": ["open"]},
        "open": {"user": "nobody", "group": GROUP},
        "closed": 6,
        "hidden": 6,
        "publish own": 0,
        "publish other": 2,
        "listen own": 0,
        "listen all": 6,
        "send own": 0,
        "send other": 6,
        "subscribe": True,
    }


@pytest.mark.system
def test_an_acl_may_open_all_methods_and_prefixes(open_bus):
    open_bus.acl("test", {"user": "nobody", "access": {"isdf.*": {"methods": ["*"]}}})
    found = try_as_nobody(open_bus)
    assert found["objects"] == {"isdf.door": ["closed", "open"], "isdf.hidden": ["open"]}
    assert found["closed"] == found["hidden"] == {"user": "nobody", "group": GROUP}


@pytest.mark.system
@pytest.mark.parametrize(
    "who", [{"user": "nobody-at-all"}, {"group": "nobody-at-all"}, {"user": "root", "group": GROUP}, {"user": 1}, {}]
)
def test_an_acl_for_somebody_else_opens_nothing(open_bus, who):
    open_bus.acl("test", {**who, **ACL})
    assert try_as_nobody(open_bus) == DENIED


@pytest.mark.system
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o645])
def test_an_acl_file_that_others_may_write_is_passed_over(open_bus, mode):
    open_bus.acl("test", {"user": "nobody", **ACL}, mode)
    assert try_as_nobody(open_bus) == DENIED


@pytest.mark.system
def test_a_broken_acl_file_harms_no_other(open_bus):
    open_bus.acl("a", {}).write_text("{")
    open_bus.acl("b", {"user": "nobody", **ACL})
    (open_bus.acl_folder / "c.json").mkdir()
    (open_bus.acl_folder / "d.txt").write_text("{")
    assert try_as_nobody(open_bus)["open"] == {"user": "nobody", "group": GROUP}


@pytest.mark.system
def test_sighup_reads_the_acl_again_and_tells(open_bus, connect, until):
    open_bus.start()
    heard, root = [], connect(open_bus)
    root.listen("ubus.acl.sequence", lambda *event: heard.append(event))
    root.add("isdf.door", {"open": Method(lambda request: {})})
    assert as_user("nobody", lambda: ubus.connect(open_bus.socket).objects()) == {}
    open_bus.acl("test", {"user": "nobody", **ACL})
    open_bus.process.send_signal(signal.SIGHUP)
    until(lambda: heard)
    assert as_user("nobody", lambda: ubus.connect(open_bus.socket).objects()) == {"isdf.door": {"open": {}}}


def test_an_object_goes_with_its_client_and_listeners_are_told(bus, connect, until):
    heard, root = [], connect(bus)
    root.listen("ubus.object.*", lambda event, data: heard.append((event, data["path"])))
    with ubus.connect(bus.socket) as brief:
        brief.add("isdf.brief", {})
    until(lambda: len(heard) == 2)
    assert heard == [("ubus.object.add", "isdf.brief"), ("ubus.object.remove", "isdf.brief")]
    assert "isdf.brief" not in root.objects()


def test_the_acl_query_names_the_newest_object_first(open_bus, connect):
    open_bus.acl("test", {"user": "nobody", "access": {"isdf.*": {"methods": ["x"], "acl": {"rule": 1}}}})
    open_bus.start()
    root = connect(open_bus)
    for name in ("isdf.b", "isdf.a", "isdf.c"):
        root.add(name, {})
    (got,) = root.exchange(message.INVOKE, 0, {Attr.OBJID: 2, Attr.METHOD: "query", Attr.DATA: b""})
    entries = blobmsg.decode(got.attrs[Attr.DATA])["acl"]
    assert entries == [{"obj": name, "user": "nobody", "acl": {"rule": 1}} for name in ("isdf.c", "isdf.a", "isdf.b")]


@pytest.mark.system
def test_a_user_who_may_not_listen_finds_an_object_that_comes_later(open_bus, connect, until, monkeypatch):
    """The rights that a service has: no `listen`, so that the client looks for the object from time to time."""
    monkeypatch.setattr("isdf.ubus.heard.LOOK_AGAIN", 0.01)
    open_bus.acl("test", {"group": GROUP, "access": {"isdf.door": {"methods": ["open"]}}, "subscribe": ["isdf.door"]})
    open_bus.start()
    reading, writing = os.pipe()
    server = os.fork()
    if not server:
        try:
            server_loop, root = Loop(), ubus.connect(open_bus.socket)
            root.attach(server_loop)
            os.read(reading, 1)
            for _ in range(2):
                door = root.add("isdf.door", {"open": Method(print)})
                settle(server_loop, lambda: door.subscribers)  # noqa: B023
                door.notify("opened", {"n": 1})
                door.remove()
        finally:
            os._exit(0)

    def listen():
        loop, changes, heard, connection = Loop(), [], [], ubus.connect(open_bus.socket)
        connection.attach(loop)
        subscription = connection.subscribe("isdf.door", lambda *told: heard.append(told), changes.append)
        assert not subscription.present
        assert not connection.hears_objects
        os.write(writing, b"x")
        settle(loop, lambda: len(changes) == 4)
        return [changes, heard]

    try:
        assert as_user("nobody", listen) == [[True, False] * 2, [["opened", {"n": 1}]] * 2]
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.close(reading)
        os.close(writing)
