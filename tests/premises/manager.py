"""The services manager in its host, and what its operator does there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from isdf.model import Line

from . import edge, plan
from .home import Home
from .host import Host, Process, wait_until

FOLDER = "/srv/manager"  # the manager's home in its host
PORT = 8080
URL = f"https://manager.isp.example:{PORT}"
_LISTENING = ["sh", "-c", f"ss -Hltn sport = :{PORT} | grep -q ."]


class Manager:
    """`host` has the command line and the server; nothing is there before `init`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.server: Process | None = None

    def init(self, hooks: tuple[str, ...] = ("pay-per-site",)) -> None:
        """Make the home folder; orders of the services `hooks` are told to the ISP's edge."""
        self.operator(["init", "--url", URL])
        if hooks:
            url = f"http://{plan.EDGE[0]}:{edge.PORT}/provision"
            lines = [f"  {service}: {{url: '{url}', key: '{edge.KEY}'}}\n" for service in hooks]
            configuration = self.host.path(f"{FOLDER}/manager.yaml")
            configuration.write_text(configuration.read_text() + "provision:\n" + "".join(lines))

    def start(self) -> None:
        """Serve, and wait until the port is open."""
        self.server = self.host.daemon("manager", self._argv("serve"), self._environment())
        wait_until(self._serves, 20, "the manager")

    def _serves(self) -> bool:
        if self.server.poll() is not None:
            raise RuntimeError(f"the manager ended: {self.host.read('/var/log/manager.log')}")
        return self.host.run(_LISTENING, check=False).returncode == 0

    def stop(self) -> None:
        self.server.terminate()
        self.server.wait(20)

    def operator(
        self, words: list[str], *, check: bool = True, timeout: float = 60, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """Run `isdf-manager` with `words` on the manager's host."""
        return self.host.run(self._argv(*words), check=check, timeout=timeout, env=self._environment() | (env or {}))

    def operate(self, words: list[str], **options: Any) -> Process:
        """Start `isdf-manager` with `words` on the manager's host; options as of `Host.popen`."""
        return self.host.popen(self._argv(*words), self._environment(), **options)

    def publish(self, folder: Path | str, *, check: bool = True) -> subprocess.CompletedProcess:
        """Publish the service in a folder of this machine; it is copied to the manager's host first."""
        inside = f"/root/feed/{Path(folder).name}"
        shutil.rmtree(self.host.path(inside), ignore_errors=True)
        self.host.copy(Path(folder), inside)
        return self.operator(["publish", inside], check=check)

    def add_device(self, home: Home, line: Line) -> None:
        """Enter a home as the device of its name, put its first configuration into its router as a factory would."""
        rates = [("down", line.down), ("up", line.up), ("base_down", line.base_down), ("base_up", line.base_up)]
        text = ",".join(f"{name}={rate // 1000}" for name, rate in rates)
        file = f"/root/{home.name}.uci"
        words = ["device", "add", home.name, "--uci", file, "--line", text, "--lan", "br-lan", "--lan", "br-guest"]
        words += [word for address in plan.MANAGER for word in ("--push-from", address)]
        self.operator(words)
        home.router.write("/etc/config/isdf", self.host.read(file), 0o600)
        home.router.run(["/usr/lib/isdf/push-rule"])

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "import sys, isdf_manager.cli as c; sys.exit(c.main())", *words]

    @staticmethod
    def _environment() -> dict[str, str]:
        return {"ISDF_MANAGER_HOME": FOLDER}
