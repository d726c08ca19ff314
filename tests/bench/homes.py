"""Many homes on one machine: the agent of each is a process as on a router, with the memory data plane.

One process plays all buses (`buses`); procd and the service of each home are played here, as far as they talk to the
agent: the service asks for its configuration, for its class and the members, and is ready. opkg and usign are those of
tests/openwrt.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import openwrt
from isdf import ubus
from isdf.loop import Loop
from isdf.ubus import Method, Status, StatusError
from openwrt.programs import program

SERVICE = "isdf-service-pay-per-site"
_FOLDERS = ("etc/config", "lib", "tmp", "usr/lib/opkg/info", "var/lock", "var/run/ubus")
_STATUS = "Package: isdf-agent\nVersion: 0.1.0\nStatus: install user installed\nArchitecture: all\n\n"


class Home:
    """`enforced` has time (monotonic) and configuration of each one that the service got its class for."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.name, self.root, self.port = name, folder / name, port
        self.enforced: list[tuple[float, dict]] = []
        self.agent: subprocess.Popen | None = None
        self._set: dict[str, dict] = {}
        for path in _FOLDERS:
            (self.root / path).mkdir(parents=True)
        functions = Path(openwrt.__file__).parent / "functions.sh"
        (self.root / "lib/functions.sh").write_bytes(functions.read_bytes())
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        (self.root / "usr/lib/opkg/status").write_text(_STATUS)
        (self.root / "usr/lib/opkg/info/isdf-agent.list").touch()

    @property
    def bus(self) -> Path:
        return self.root / "var/run/ubus"

    def connect(self, loop: Loop) -> None:
        """Play procd and the service, from now on."""
        self._loop = loop
        self._procd = ubus.connect(str(self.bus / "ubus.sock"))
        self._service = ubus.connect(str(self.bus / "service.sock"))
        methods = {"set": self._instances, "delete": self._delete, "list": self._list}
        self._procd.add("service", {name: Method(method, {}) for name, method in methods.items()})
        for connection in (self._procd, self._service):
            connection.attach(loop)

    def start(self, path: str) -> None:
        with (self.root / "log").open("ab") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-P", "-m", "isdf_agent.app", "--root", str(self.root)],
                env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def close(self) -> None:
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self._procd.close()
            self._service.close()

    # -- procd

    def _instances(self, request) -> None:
        name, main = request.args["name"], request.args["instances"]["main"]
        before, self._set[name] = self._set.get(name), main
        if main != before:
            self._loop.after(0, lambda: self._ask(main, None))

    def _delete(self, request) -> None:
        if self._set.pop(request.args["name"], None) is None:
            raise StatusError(Status.NOT_FOUND)

    def _list(self, request) -> dict:
        return {n: {"instances": {"main": {"running": True, "pid": 10_000, **main}}} for n, main in self._set.items()}

    # -- the service

    def _ask(self, main: dict, revision: int | None) -> None:
        def configured(status: int, reply: dict) -> None:
            if self._set.get(SERVICE) is main and status == Status.OK and "revision" in reply:
                self._configure(main, reply["revision"], reply["config"])

        more = {} if revision is None else {"after": revision}
        self._call("service", "config", {"version": main["env"]["ISDF_VERSION"]} | more, configured, timeout=None)

    def _configure(self, main: dict, revision: int, config: dict) -> None:
        def classed(status: int, reply: dict) -> None:
            assert status == Status.OK, (status, reply)
            assert "error" not in reply, reply
            member = {"name": "sites", "flow": {"remote": "192.0.2.1"}}
            self._call("control", "add_class_member", member, ready)

        def ready(status: int, reply: dict) -> None:
            assert status == Status.OK, (status, reply)
            assert "error" not in reply, reply
            self.enforced.append((time.monotonic(), config))
            self._call("service", "ready", {"revision": revision}, lambda *_: None)
            self._ask(main, revision)

        self._call("control", "add_class", {"name": "sites", "rate": config["rate"]}, classed)

    def _call(self, noun: str, verb: str, told: dict, done, timeout: float | None = 60.0) -> None:
        self._service.call_async(f"isdf.{noun}", verb, told, done, timeout=timeout)


class Homes:
    """`count` homes below `folder`; `configure` writes a home's /etc/config/isdf. A context manager."""

    def __init__(self, folder: Path, count: int, port: int) -> None:
        self.loop, self._bin = Loop(), folder / "bin"
        self.homes = [Home(folder, f"home{number}", port + number) for number in range(count)]
        self._bin.mkdir()
        for name in ("opkg", "usign"):
            path = self._bin / name
            path.write_text(f'#!/bin/sh\nexec {shlex.join(program(name))} "$@"\n')
            path.chmod(0o755)
        self._buses = subprocess.Popen(
            [sys.executable, "-m", "bench.buses", *(str(home.bus) for home in self.homes)],
            env=os.environ | {"PYTHONPATH": "tests"}, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._buses.stdout.readline()

    def start(self) -> None:
        for home in self.homes:
            home.connect(self.loop)
            home.start(str(self._bin))

    def until(self, condition, seconds: float) -> None:
        """Play procd and services until `condition()` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.loop.step(0.05)

    def __enter__(self) -> Homes:
        return self

    def __exit__(self, *_) -> None:
        for home in self.homes:
            home.close()
        self._buses.kill()
        self._buses.wait()
        self._buses.stdout.close()
