"""Fixtures for tests of procd: on a bus of its own, asked and listened to."""

import subprocess
import sys
from pathlib import Path

import pytest

from isdf import ubus
from isdf.loop import Loop

from .bus import Bus
from .fixtures import settle
from .programs import real
from .users import as_root

PROCD = {"stand-in": [sys.executable, "-m", "openwrt.procd", "--ubus"]}
if argv := real("procd"):
    PROCD["openwrt"] = [*argv, "-S", "-I", "/nonexistent", "-R", "/nonexistent", "-s"]


class Supervisor:
    """A procd on a bus of its own, and what its object `service` tells."""

    def __init__(self, socket: str) -> None:
        self.loop, self.told = Loop(), []
        self.bus = ubus.connect(socket)
        self.bus.attach(self.loop)
        self.subscription = self.bus.subscribe("service", lambda *told: self.told.append(told))
        settle(self.loop, lambda: self.subscription.present)

    def call(self, method: str, **args):
        return self.bus.call("service", method, args)

    def set(self, name: str, *command: str, **more):
        """Set a service with one instance, `main`."""
        self.call("set", name=name, instances={"main": {"command": list(command), **more}})

    def instance(self, name: str, instance: str = "main"):
        return self.call("list", name=name)[name].get("instances", {}).get(instance)

    def pid(self, name: str) -> int:
        """The pid of the one instance, when it has become its command (before, it may lose a signal)."""
        pid = self.instance(name)["pid"]
        wanted = self.instance(name)["command"][0].encode()
        self.until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == wanted)
        return pid

    def await_told(self, count: int):
        """The first `count` of what was told, which is then forgotten."""
        settle(self.loop, lambda: len(self.told) >= count)
        told, self.told = self.told[:count], self.told[count:]
        return told

    def until(self, condition):
        return settle(self.loop, condition)


@pytest.fixture(scope="module", params=PROCD)
def running(request, tmp_path_factory):
    with Bus(tmp_path_factory.mktemp("bus")) as bus:
        process = subprocess.Popen([*as_root(), *PROCD[request.param], bus.socket])
        supervisor = Supervisor(bus.socket)
        supervisor.kind = request.param
        yield supervisor
        supervisor.bus.close()
        process.kill()
        process.wait()


@pytest.fixture
def procd(running):
    yield running
    for name in running.call("list"):
        running.call("delete", name=name)
    # A signal right after the start is lost: then procd kills after its `term_timeout`, 5 s.
    settle(running.loop, lambda: not running.call("list"), 10)
    running.loop.step(0.01)
    running.told.clear()
