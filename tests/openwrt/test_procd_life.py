"""The stand-in procd as the first process of a home: it starts ubusd and a boot file, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .bus import wait_for_socket
from .fixtures import settle
from .procd_fixtures import Supervisor
from .programs import program
from .users import as_root

pytestmark = pytest.mark.system


class Home:
    def __init__(self, folder: Path, boot: list) -> None:
        self.socket, self.log = str(folder / "ubus.sock"), folder / "log"
        (folder / "boot.json").write_text(json.dumps(boot))
        ubusd = " ".join([*program("ubusd"), "-s", self.socket, "-A", str(folder / "acl.d")])
        words = ["--ubus", self.socket, "--ubusd", ubusd, "--boot", str(folder / "boot.json"), "--log", str(self.log)]
        self.process = subprocess.Popen([*as_root(), sys.executable, "-m", "openwrt.procd", *words])


def gone(pid: int) -> bool:
    """Whether a process is no more, or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def service(name: str, script: str, **more) -> dict:
    instance = {"command": ["sh", "-c", script], "stdout": True, "stderr": True, "respawn": ["0", "0", "0"], **more}
    return {"name": name, "instances": {"main": instance}}


@pytest.fixture
def home(tmp_path):
    made = []

    def start(*boot):
        made.append(Home(tmp_path, list(boot)))
        wait_for_socket(made[-1].socket)
        made[-1].procd = Supervisor(made[-1].socket)
        return made[-1]

    yield start
    for running in made:
        running.process.kill()
        running.process.wait()
        running.procd.bus.close()


def pids(home) -> dict[str, int]:
    found = home.procd.call("list")
    return {name: next(iter(shown["instances"].values())).get("pid") for name, shown in found.items()}


def test_it_begins_with_its_boot_file_and_writes_what_they_print_to_its_log(home):
    script = "echo out; echo err >&2; printf lost; exec sleep 100"
    running = home(service("one", script), service("two", "echo $A; exec sleep 100", env={"A": "b"}), {"no": "name"})
    settle(running.procd.loop, lambda: len(pids(running)) == 3)
    one, two = f"sh[{pids(running)['one']}]: ", f"sh[{pids(running)['two']}]: "
    lines = [f" daemon.info {one}out\n", f" daemon.err {one}err\n", f" daemon.info {two}b\n"]
    settle(running.procd.loop, lambda: all(line in running.log.read_text() for line in lines))
    assert " daemon.notice procd: {'no': 'name'}: Invalid argument\n" in running.log.read_text()
    assert sorted(pids(running)) == ["one", "two", "ubus"]
    os.kill(pids(running)["one"], signal.SIGKILL)
    running.procd.until(lambda: "instance.respawn" in [event for event, _ in running.procd.told])
    assert logread(running, "-e", f"^sh.{pids(running)['two']}.: ") == [f"{two}b"]
    assert logread(running, "-e", re.escape(one)) == [f"{one}out", f"{one}err"]
    assert len(logread(running, "-l", "2")) == 2


def logread(home, *words) -> list[str]:
    """What logread prints, without time and priority."""
    argv = [sys.executable, "-m", "openwrt.logread", *words]
    environment = os.environ | {"OPENWRT_LOG": str(home.log)}
    printed = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    return [line.split(None, 6)[6] for line in printed.splitlines()]


def test_ubusd_is_started_again_and_services_stay(home):
    running = home(service("one", "exec sleep 100"))
    settle(running.procd.loop, lambda: "one" in pids(running))
    before = pids(running)
    os.kill(before["ubus"], signal.SIGKILL)
    settle(running.procd.loop, lambda: not running.procd.subscription.present)
    settle(running.procd.loop, lambda: running.procd.subscription.present)
    after = pids(running)
    assert after["one"] == before["one"]
    assert after["ubus"] != before["ubus"]
    running.procd.set("two", "sleep", "100")  # and it is told of as before
    settle(running.procd.loop, lambda: ("service.start", {"service": "two"}) in running.procd.told)


def test_sigterm_ends_services_then_ubusd_then_procd(home):
    script = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.01; done'
    stubborn = 'trap "" TERM; echo up; while :; do sleep 0.01; done'
    running = home(service("one", script), service("two", stubborn, term_timeout=1))
    settle(running.procd.loop, lambda: running.log.read_text().count(": up\n") == 2)
    known = pids(running).values()
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert all(map(gone, known))
    assert ": bye\n" in running.log.read_text()
    assert ("instance.stop", {"service": "one", "instance": "main"}) in settle(None, lambda: heard(running))


def heard(home) -> list:
    home.procd.loop.step(0.01)
    return home.procd.told


def test_killed_it_takes_its_processes_with_it(home):
    running = home(service("one", "exec sleep 100"), service("two", "exec sleep 100", user="nobody"))
    settle(running.procd.loop, lambda: len(pids(running)) == 3)
    known = pids(running).values()
    running.process.kill()
    settle(None, lambda: all(map(gone, known)))
