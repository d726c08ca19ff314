"""A router below a folder: the whole agent as a process, with the memory data plane and the stand-ins of OpenWrt.

procd is played here, in the process of the test: what it is told to start is a service that is ready as soon as it has
its configuration. `reboot` takes away what a power cut takes away.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from server import make_root

from isdf import ubus
from isdf.loop import Loop
from isdf.ubus import Method, Status, StatusError
from openwrt.programs import program

CONFIG = """
config agent 'agent'
	option dataplane 'memory'
	option push_port '{port}'
{options}
config line 'line'
	option wan 'wan'
	list lan 'br-lan'
"""
LINE = {"down": 8000, "up": 8000, "base_down": 1200, "base_up": 1200}


class Procd:
    """procd's object `service`; `running` has version and configuration of each service that runs and is ready."""

    def __init__(self, bus: ubus.Connection) -> None:
        self._bus, self._table = bus, {}
        self.running: dict[str, tuple[str, dict]] = {}
        self._object = bus.add(
            "service",
            {"set": Method(self._set, {}), "delete": Method(self._delete, {}), "list": Method(self._list, {})},
        )
        bus.subscribe("isdf.service", lambda kind, data: None, on_change=self._agent)

    def _set(self, request):
        name, main = request.args["name"], request.args["instances"]["main"]
        before = self._table.get(name)
        self._table[name] = main
        if before != main:
            self.running.pop(_short(name), None)
            self._bus.later(0, lambda: self._ask(name, main, None))

    def _delete(self, request):
        if self._table.pop(request.args["name"], None) is None:
            raise StatusError(Status.NOT_FOUND)
        self.running.pop(_short(request.args["name"]), None)

    def _list(self, request):
        return {
            name: {"instances": {"main": {"running": True, "pid": 10_000 + len(name), **main}}}
            for name, main in self._table.items()
        }

    def _agent(self, present):
        """A service asks anew when the agent came back."""
        for name, main in self._table.items() if present else ():
            self._ask(name, main, None)

    def _ask(self, name, main, after):
        """What a service's process does: ask for its configuration, be ready, ask for the next one."""
        told = {"service": _short(name), "version": main["env"]["ISDF_VERSION"]}

        def answered(status, reply):
            if self._table.get(name) is not main:
                return
            if status != Status.OK or "revision" not in reply:
                self._bus.later(0.1, lambda: self._table.get(name) is main and self._ask(name, main, after))
                return
            revision = reply["revision"]
            self.running[_short(name)] = (main["env"]["ISDF_VERSION"], reply["config"])
            self._bus.call_async("isdf.service", "ready", told | {"revision": revision}, lambda *_: None)
            self._ask(name, main, revision)

        more = {} if after is None else {"after": after}
        self._bus.call_async("isdf.service", "config", told | more, answered, timeout=None)

    def reboot(self, services=()):
        """Nothing runs but `services`, a former `state`."""
        self._table, self.running = dict(services and services[0]), dict(services and services[1])

    def state(self):
        return dict(self._table), dict(self.running)


def _short(name):
    return name.removeprefix("isdf-service-")


class House:
    """`environment` is the agent's; programs in `folder`/bin go before those of this machine."""

    def __init__(self, folder: Path, bus, template: Path | None = None) -> None:
        """With `template`, the root of another house, as that stood."""
        self.folder, self.root, self._socket = folder, folder / "root", bus.socket
        if template:
            shutil.copytree(template, self.root, symlinks=True)
            config = self.root / "etc/config/isdf"
            config.write_text(re.sub(r"push_port '\d+'", f"push_port '{free_port()}'", config.read_text()))
        else:
            make_root(self.root)
            self.configure()
        self._bus_in_the_root()
        self.loop, self.agent = Loop(), None
        self.connection = ubus.connect(bus.socket)
        self.connection.attach(self.loop)
        self.procd = Procd(self.connection)
        self.environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = folder / "agent.log"
        (folder / "bin").mkdir(parents=True)
        for name in ("opkg", "usign"):
            self.program(name, program(name))

    def program(self, name: str, argv: list[str]) -> None:
        """Have `argv` run where the agent runs `name`."""
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
        path.chmod(0o755)

    def configure(self, *, port: int = 0, **options: str) -> None:
        """Write /etc/config/isdf; `options` are those of the section `agent`."""
        lines = "".join(f"\toption {name} '{value}'\n" for name, value in options.items())
        path = self.root / "etc/config/isdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONFIG.format(port=port or free_port(), options=lines))
        path.chmod(0o600)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "isdf_agent.app", "--root", str(self.root), *words]

    def start(self, *words: str, **environment: str) -> None:
        """Start an agent, or with `words` a command of it, and do not wait for anything."""
        with self.log.open("ab") as output:
            self.agent = subprocess.Popen(
                self.argv(*words), env=os.environ | self.environment | environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """`isdf-agent` with `words`, to its end; meanwhile the bus is served."""
        done = subprocess.Popen(
            self.argv(*words), env=os.environ | self.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.until(lambda: done.poll() is not None)
        out, err = done.communicate()
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    def stop(self) -> None:
        if self.agent and self.agent.poll() is None:
            self.agent.terminate()
            self.until(lambda: self.agent.poll() is not None)

    def kill(self) -> None:
        """`kill -9` of the agent alone."""
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def reboot(self) -> None:
        """Take away what is in memory; the agent is to be killed before."""
        self.procd.reboot()
        shutil.rmtree(self.root / "var/run")
        self._bus_in_the_root()

    def status(self) -> dict:
        """What `ubus call isdf status` says; {} while nobody answers."""
        answers = []
        # An agent that ends has no answer any more, and ubusd tells nobody.
        self.connection.call_async("isdf", "status", {}, lambda status, reply: answers.append(reply), timeout=1.0)
        self.until(lambda: answers)
        return answers[0]

    def delivery(self) -> dict:
        """What the status says of delivery; {} before the router is enrolled."""
        return self.status().get("delivery") or {}

    def pull(self) -> None:
        """`ubus call isdf pull`, without waiting for what comes of it."""
        self.connection.call_async("isdf", "pull", {}, lambda *_: None, timeout=1.0)

    def installed(self) -> dict[str, str]:
        """The versions of the packages of services, by opkg's status file."""
        text = (self.root / "usr/lib/opkg/status").read_text()
        stanzas = [dict(line.split(": ", 1) for line in s.splitlines() if ": " in line) for s in text.split("\n\n")]
        return {s["Package"]: s["Version"] for s in stanzas if s.get("Package", "").startswith("isdf-service-")}

    def replace(self, before: str, after: str) -> None:
        """Another text in what tells the router who its manager is."""
        for path in (self.root / "etc/config/isdf", self.root / "etc/isdf/identity.json"):
            if path.exists():
                path.write_text(path.read_text().replace(before, after))

    def until(self, condition, seconds: float = 60.0):
        """Serve the bus until `condition()` holds, and return what it said; it is looked at now and then."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log.read_text() if self.log.exists() else "nothing was logged"
            look = time.monotonic() + 0.02
            while (left := look - time.monotonic()) > 0:
                self.loop.step(left)
        return found

    def close(self) -> None:
        self.stop()
        self.connection.close()
        self.loop.close()

    def _bus_in_the_root(self) -> None:
        sock = self.root / "var/run/ubus/ubus.sock"
        sock.parent.mkdir(parents=True, exist_ok=True)
        sock.unlink(missing_ok=True)
        sock.symlink_to(self._socket)


def free_port() -> int:
    """A UDP port that nobody has just now."""
    import socket

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]
