"""procd's object `service`; with OPENWRT_ROOT set the real procd is held to the same."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from isdf.ubus import Status, StatusError

pytestmark = pytest.mark.system


def told(event, instance="main", **more):
    return event, {"service": "test", "instance": instance, **more}


STARTED = ("service.start", {"service": "test"})
STOPPED = ("service.stop", {"service": "test"})


def test_set_starts_a_process_and_list_shows_it(procd, tmp_path):
    more = {"env": {"A": "b"}, "data": {"x": [1]}, "limits": {"nofile": "64 128"}, "stdout": True, "no_new_privs": True,
            "reload_signal": 10, "term_timeout": 2, "pidfile": f"{tmp_path}/pid"}  # fmt: skip
    procd.set("test", "sleep", "100", respawn=["300", "2", "4"], **more)
    assert procd.await_told(2) == [told("instance.start"), STARTED]
    pid = procd.pid("test")
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00100\x00"
    shown = {k: v for k, v in more.items() if k != "stdout"}
    respawn = {"threshold": 300, "timeout": 2, "retry": 4}
    assert procd.instance("test") == {
        "running": True, "pid": pid, "command": ["sleep", "100"], "respawn": respawn, **shown
    }  # fmt: skip
    assert (tmp_path / "pid").read_text() == f"{pid}\n"
    procd.call("delete", name="test")
    procd.until(lambda: not procd.call("list"))
    assert procd.await_told(2) == [told("instance.stop"), STOPPED]
    assert not (tmp_path / "pid").exists()


def test_the_process_has_its_environment_user_group_and_limits(procd, tmp_path):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    out = tmp_path / "out"
    script = f"(echo $A; id -un; id -gn; id -Gn; ulimit -n; ulimit -Hn; cat; echo done) > {out}"
    more = {"env": {"A": "b c"}, "limits": {"nofile": "64 128", "nonsense": "1"}, "user": "nobody", "group": "games"}
    procd.set("test", "sh", "-c", script, **more)
    procd.until(lambda: out.exists() and out.read_text().endswith("done\n"))
    assert out.read_text() == "b c\nnobody\ngames\ngames nogroup\n64\n128\ndone\n"
    assert {k: procd.instance("test")[k] for k in ("user", "group")} == {"user": "nobody", "group": "games"}


def test_a_user_that_does_not_exist_is_passed_over(procd, tmp_path):
    procd.set("test", "sh", "-c", f"id -un > {tmp_path}/out", user="isdf-nobody-knows", group="isdf-neither")
    procd.until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() == "root\n")
    assert "user" not in procd.instance("test")


def test_the_same_description_again_changes_nothing_another_exchanges_the_process(procd):
    procd.set("test", "sleep", "100", data={"a": 1})
    pid = procd.pid("test")
    procd.set("test", "sleep", "100", data={"a": 2}, stderr=True)
    assert procd.pid("test") == pid
    assert procd.instance("test")["data"] == {"a": 2}
    procd.await_told(2)
    procd.set("test", "sleep", "101")
    assert procd.await_told(2) == [told("instance.stop"), told("instance.start")]
    assert procd.pid("test") != pid
    assert procd.instance("test")["command"] == ["sleep", "101"]
    for n, other in enumerate(({"env": {"A": "b"}}, {"respawn": []}, {"term_timeout": 7}, {"user": "nobody"})):
        pid = procd.pid("test")
        procd.set("test", "sleep", "101", **other)
        assert procd.await_told(2) == [told("instance.stop"), told("instance.start")], n
        assert procd.pid("test") != pid


def test_of_an_entry_of_the_environment_the_last_four_bytes_are_not_compared(procd):
    procd.set("test", "sleep", "100", env={"VERSION": "1.0.0"})
    pid = procd.pid("test")
    procd.set("test", "sleep", "100", env={"VERSION": "1.1.9"})
    assert procd.pid("test") == pid
    assert procd.instance("test")["env"] == {"VERSION": "1.1.9"}
    procd.await_told(2)
    for value in ("2.0.9", "2.0.10"):
        procd.set("test", "sleep", "100", env={"VERSION": value})
        assert procd.await_told(2) == [told("instance.stop"), told("instance.start")]
        procd.pid("test")


def test_a_reload_signal_takes_the_place_of_an_exchange(procd, tmp_path):
    script = f'trap "echo usr1 >> {tmp_path}/out" USR1; touch {tmp_path}/up; while :; do sleep 0.01; done'
    procd.set("test", "sh", "-c", script, reload_signal=int(signal.SIGUSR1))
    procd.until(lambda: (tmp_path / "up").exists())
    pid = procd.pid("test")
    procd.set("test", "sh", "-c", script, reload_signal=int(signal.SIGUSR1), env={"A": "b"})
    procd.until(lambda: (tmp_path / "out").exists())
    assert procd.pid("test") == pid


def test_an_end_is_shown_and_told_and_not_followed_by_a_start(procd):
    procd.set("test", "sh", "-c", "exit 3")
    assert procd.await_told(3) == [told("instance.start"), STARTED, told("instance.stop")]
    command = ["sh", "-c", "exit 3"]
    assert procd.instance("test") == {"running": False, "command": command, "term_timeout": 5, "exit_code": 3}
    procd.set("test", "sh", "-c", "exit 3")  # a stopped one is started again
    assert procd.await_told(2) == [told("instance.start"), told("instance.stop")]


def test_a_program_that_is_not_there_ends_with_127(procd):
    procd.set("test", "/nowhere/at/all")
    procd.await_told(3)
    assert procd.instance("test")["exit_code"] == 127


def test_a_process_that_ends_is_respawned_until_it_crashes_too_often(procd):
    command = ["sh", "-c", "exit 3"]
    procd.set("test", *command, respawn=["3600", "0", "2"])
    assert procd.await_told(2) == [told("instance.start"), STARTED]
    for count in (1, 2, 3):
        stop, (event, data) = procd.await_told(2)
        assert stop == told("instance.stop")
        assert data.pop("pid") > 1
        assert data == {
            "service": "test",
            "instance": "main",
            "exit_code": 3,
            "respawn_count": count,
            "command": command,
        }
        if count < 3:
            assert event == "instance.respawn"
            assert procd.await_told(1) == [told("instance.start")]
    assert event == "instance.fail"
    assert procd.instance("test") == {"running": False, "command": command, "term_timeout": 5, "exit_code": 3}
    procd.set("test", *command, respawn=["3600", "0", "2"])  # and anew
    assert procd.await_told(1) == [told("instance.start")]


def test_a_killed_process_is_respawned_and_a_long_run_forgets_the_crashes(procd):
    procd.set("test", "sleep", "100", respawn=["0", "0", "1"])
    procd.await_told(2)
    for _ in range(3):
        os.kill(procd.pid("test"), signal.SIGKILL)
        _, (event, data), start = procd.await_told(3)
        assert (event, data["exit_code"], data["respawn_count"]) == ("instance.respawn", 128 + 9, 0)
        assert start == told("instance.start")


def test_the_respawn_waits_for_its_time(procd):
    procd.set("test", "sh", "-c", "exit 1", respawn=["3600", "100", "5"])
    procd.await_told(4)
    assert procd.instance("test")["running"] is False
    assert procd.instance("test")["respawn"] == {"threshold": 3600, "timeout": 100, "retry": 5}


@pytest.mark.parametrize(
    ("respawn", "shown"), [([], (3600, 5, 5)), (["1"], (1, 5, 5)), (["1", "2x", "y", "9"], (1, 2, 0))]
)
def test_what_respawn_leaves_out_has_defaults(procd, respawn, shown):
    procd.set("test", "sleep", "100", respawn=respawn)
    assert tuple(procd.instance("test")["respawn"].values()) == shown


def test_who_does_not_end_on_sigterm_is_killed(procd, tmp_path):
    script = f'trap "" TERM; touch {tmp_path}/up; while :; do sleep 0.01; done'
    procd.set("test", "sh", "-c", script, term_timeout=1)
    procd.until(lambda: (tmp_path / "up").exists())
    procd.call("delete", name="test")
    assert procd.instance("test")["running"]  # still listed while it ends
    procd.until(lambda: not procd.call("list"))
    assert procd.await_told(4)[2:] == [told("instance.stop"), STOPPED]


def test_set_anew_while_it_ends_starts_it_again(procd, tmp_path):
    script = f'trap "" TERM; touch {tmp_path}/up; while :; do sleep 0.01; done'
    procd.set("test", "sh", "-c", script, term_timeout=1)
    procd.until(lambda: (tmp_path / "up").exists())
    procd.call("delete", name="test")
    procd.set("test", "sleep", "100")
    assert procd.await_told(4)[2:] == [told("instance.stop"), told("instance.start")]
    assert procd.instance("test")["command"] == ["sleep", "100"]


def test_instances_come_and_go_with_set_and_stay_with_add(procd):
    def instances(*names):
        return {name: {"command": ["sleep", "100"]} for name in names}

    procd.call("set", name="test", instances=instances("a", "b"), data={"k": "v"})
    assert procd.await_told(3) == [told("instance.start", "a"), told("instance.start", "b"), STARTED]
    procd.call("add", name="test", instances=instances("c"))
    assert procd.await_told(1) == [told("instance.start", "c")]
    procd.call("set", name="test", instances=instances("c"))
    procd.until(lambda: list(procd.call("list")["test"]["instances"]) == ["c"])
    assert sorted(procd.await_told(2), key=str) == [told("instance.stop", "a"), told("instance.stop", "b")]
    assert procd.call("list")["test"]["data"] == {"k": "v"}
    procd.call("delete", name="test", instance="c")
    procd.until(lambda: procd.call("list") == {"test": {"data": {"k": "v"}}})
    procd.call("delete", name="test")
    assert procd.call("list") == {}


def test_autostart_off_leaves_it_to_state(procd):
    procd.call("set", name="test", autostart=False, instances={"main": {"command": ["sleep", "100"]}})
    assert procd.call("list")["test"]["autostart"] is False
    assert procd.instance("test")["running"] is False
    procd.call("state", name="test", spawn=True)
    procd.pid("test")
    procd.call("state", name="test", spawn=False)
    procd.until(lambda: procd.instance("test")["running"] is False)
    assert procd.instance("test")["exit_code"] == 128 + signal.SIGTERM


def test_signal(procd, tmp_path):
    script = (
        f'trap "echo hup >> {tmp_path}/out" HUP; trap "exit 9" USR2; touch {tmp_path}/up; while :; do sleep 0.01; done'
    )
    procd.set("test", "sh", "-c", script)
    procd.until(lambda: (tmp_path / "up").exists())
    procd.call("signal", name="test")
    procd.until(lambda: (tmp_path / "out").exists())
    procd.call("signal", name="test", instance="main", signal=int(signal.SIGUSR2))
    procd.until(lambda: procd.instance("test")["running"] is False)
    assert procd.instance("test")["exit_code"] == 9


@pytest.mark.parametrize(
    "description",
    [
        {"command": []},
        {"command": ["sleep", 100]},
        {"command": ["sleep", "100"], "env": {"A": 1}},
        {"command": ["sleep", "100"], "limits": {"nofile": 64}},
        {"command": ["sleep", "100"], "nice": 30},
        {"command": ["sleep", "100"], "jail": {"requirejail": True, "name": "x"}},
    ],
)
def test_a_description_with_a_fault_is_neither_started_nor_listed(procd, description):
    procd.call("set", name="test", instances={"main": description})
    assert procd.call("list") == {"test": {"instances": {}}}
    assert procd.await_told(1) == [STARTED]


@pytest.mark.parametrize("description", [{"command": ["sleep", "100"], "error": ["no"]}, {"env": {"A": "b"}}])
def test_a_description_with_an_error_or_without_a_command_is_not_started(procd, description):
    procd.call("set", name="test", instances={"main": description})
    assert procd.instance("test")["running"] is False


@pytest.mark.parametrize(
    ("method", "args", "status"),
    [
        ("set", {}, Status.INVALID_ARGUMENT),
        ("set", {"name": 1}, Status.INVALID_ARGUMENT),
        ("delete", {}, Status.NOT_FOUND),
        ("delete", {"name": "nobody"}, Status.NOT_FOUND),
        ("delete", {"name": "test", "instance": "nobody"}, Status.NOT_FOUND),
        ("signal", {}, Status.NOT_FOUND),
        ("signal", {"name": "nobody"}, Status.NOT_FOUND),
        ("signal", {"name": "test", "instance": "nobody"}, Status.NOT_FOUND),
        ("signal", {"name": "test", "signal": 1000}, Status.INVALID_ARGUMENT),
        ("state", {"name": "test"}, Status.INVALID_ARGUMENT),
        ("state", {"name": "test", "spawn": "yes"}, Status.INVALID_ARGUMENT),
        ("state", {"spawn": True}, Status.NOT_FOUND),
        ("state", {"name": "nobody", "spawn": True}, Status.NOT_FOUND),
        ("event", {"type": "x"}, Status.INVALID_ARGUMENT),
        ("event", {"data": {}}, Status.INVALID_ARGUMENT),
        ("no_such_method", {}, Status.METHOD_NOT_FOUND),
    ],
)
def test_what_cannot_be_has_its_status(procd, method, args, status):
    procd.set("test", "sleep", "100")
    with pytest.raises(StatusError) as caught:
        procd.call(method, **args)
    assert caught.value.status == status
    assert procd.instance("test")["running"] is True


def test_list_of_nobody_is_empty(procd):
    assert procd.call("list", name="nobody") == {}


def test_events_are_passed_on(procd):
    procd.call("event", type="config.change", data={"package": "isdf"})
    procd.call("event", type="other", data={"package": "isdf"})
    assert procd.await_told(3) == [
        ("event.trigger", {"type": "config.change", "data": {"package": "isdf"}}),
        ("config.change", {"config": "isdf"}),
        ("event.trigger", {"type": "other", "data": {"package": "isdf"}}),
    ]
