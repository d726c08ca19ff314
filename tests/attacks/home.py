"""A home that is attacked: the agent as a process in a folder of its own, with ubusd, opkg and usign."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openwrt
from isdf import ubus
from isdf.formats import assignment as wire
from isdf.formats import usign
from isdf.loop import Loop
from openwrt.bus import Bus
from openwrt.fixtures import settle
from openwrt.programs import program

from .procd import Procd
from .relay import Relay
from .wire import Wire

_AGENT = "Package: isdf-agent\nVersion: 0.1.0\nStatus: install user installed\nArchitecture: all\n\n"
_FOLDERS = ("bin", "etc/config", "etc/opkg/keys", "lib", "tmp", "usr/lib/opkg/info", "usr/lib/isdf", "usr/share/acl.d",
            "usr/sbin", "var/lock", "var/run/ubus")  # fmt: skip
_START = "import sys, isdf_agent.app as app; sys.exit(app.main())"
TIMEOUT = 60.0  # seconds for what takes half of one on an idle machine


class Home:
    """`uci` is its /etc/config/isdf, `relay` is what it reaches its manager by. The agent is `code`, started by the
    program of the words `before`."""

    def __init__(
        self, folder: Path, uci: str, relay: Relay | Wire, *, code: str = _START, before: list[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.root, self._relay = folder, folder / "root", relay
        self._kept = self.root / "etc/isdf/packages"
        self._argv = [*(before or []), sys.executable, "-c", code, "--root", str(self.root)]
        self._furnish(uci)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self._env = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"} | (env or {})
        self._log = folder / "log"
        self._bus = Bus(self.root / "var/run/ubus")
        self._bus.start()
        self.loop = Loop()
        self.bus = ubus.connect(self._bus.socket)
        self.bus.attach(self.loop)
        self.procd = Procd(self.bus)
        self.agent: subprocess.Popen | None = None

    def _furnish(self, uci: str) -> None:
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True)
        self._write("root/etc/config/isdf", uci, 0o600)
        self._write("root/etc/passwd", "root:x:0:0:root:/root:/bin/ash\n")
        self._write("root/etc/group", "root:x:0:\n")
        self._write("root/etc/shadow", "root:*:0:0:99999:7:::\n", 0o600)
        self._write("root/etc/resolv.conf", "")
        self._write("root/usr/lib/opkg/status", _AGENT)
        self._write("root/usr/lib/opkg/info/isdf-agent.list", "")
        self._write("outside", "what lies beside the router's folder\n")
        shutil.copy(Path(openwrt.__file__).with_name("functions.sh"), self.root / "lib")
        for name in ("opkg", "usign"):
            self._write(f"bin/{name}", f'#!/bin/sh\nexec {shlex.join(program(name))} "$@"\n', 0o755)

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    # -- its life

    def start(self, *, booting: bool = False, newcomer: bool = False) -> None:
        """Start the agent, and wait until it has pulled and runs what it should; `booting`: nothing of memory is left,
        nothing runs; `newcomer`: it will not be enrolled."""
        if booting:
            self.procd.instances.clear()
            shutil.rmtree(self.root / "var/run/isdf", ignore_errors=True)
        start = len(self.log())
        with self._log.open("ab") as log:
            self.agent = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stderr=log, env=self._env)
        self.until(lambda: self.agent.poll() is not None or "isdf" in self.bus.objects("isdf"))
        assert self.agent.poll() is None, self.log()
        if not newcomer:
            # It becomes another process when it is enrolled: who asks the first one waits for an answer in vain.
            self.until(lambda: " runs for device " in self.log(start))
            self.until(lambda: "isdf.control" in self.bus.objects("isdf*"))
            self.pull()  # after the one that it begins with
            self.until(lambda: self.status()["applied"])

    def kill(self) -> None:
        """As the power goes."""
        self.agent.kill()
        self.agent.wait()
        self.until(lambda: "isdf" not in self.bus.objects("isdf"))

    def close(self) -> None:
        if self.agent and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait()
        self.bus.close()
        self._bus.stop()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def until(self, condition):
        """Serve the bus until `condition()` is true, which is returned."""
        try:
            return settle(self.loop, condition, TIMEOUT)
        except AssertionError as error:
            error.add_note(f"The home logged: {self.log()[-3000:]}")
            raise

    # -- what it has

    def log(self, start: int = 0) -> str:
        """What the agent logged, from a length of the log on."""
        return self._log.read_text()[start:] if self._log.exists() else ""

    def call(self, path: str, method: str, **args) -> dict:
        answers = []
        self.bus.call_async(path, method, args, lambda status, reply: answers.append((status, reply)))
        self.until(lambda: answers)
        status, reply = answers[0]
        assert status == 0, (path, method, status)
        return reply

    def status(self) -> dict:
        return self.call("isdf", "status")["delivery"]

    def versions(self) -> dict[str, str]:
        """Name and version of what runs, as procd was told, where the agent says that all is as it should be."""
        return {name: instance["env"]["ISDF_VERSION"] for name, instance in self.procd.instances.items()}

    def flash(self) -> dict[str, str]:
        """What is written on the router, and beside its folder: mode and content (SHA-256) or target by path."""
        found = {}
        for folder, names, files in os.walk(self.folder):
            inside = os.path.relpath(folder, self.root)
            if inside in ("tmp", "var"):
                names.clear()
                continue
            for name in [*names, *files]:
                path = Path(folder, name)
                # What passes have left is another figure each time.
                if path != self._log and name != "passes.json" and path.parent != self._kept:
                    found[str(path)] = f"{path.lstat().st_mode:o} {_content(path)}"
        return found

    def _packages(self) -> set[str]:
        """The packages on flash; the name of each has its hash."""
        return set(os.listdir(self._kept)) if self._kept.exists() else set()

    def package(self, service: str) -> bytes:
        """The package of the version of `service` that the assignment in force wants."""
        received = wire.parse(usign.split_embedded((self.root / "etc/isdf/assignment").read_bytes())[1])
        (digest,) = (entry.sha256 for entry in received.services if entry.name == service)
        (path,) = self._kept.glob(f"*{digest}*")
        return path.read_bytes()

    def run(self, argv: list[str | Path]) -> str:
        """What a program of this router prints."""
        done = subprocess.run(argv, cwd=self.root / "tmp", env=self._env, capture_output=True, text=True, check=True)
        return done.stdout

    # -- what is done to it

    @contextlib.contextmanager
    def unharmed(self, words: str) -> Iterator[None]:
        """What happens inside changes nothing that is installed, runs or is in force, and is logged: an error or a
        warning in which the expression `words` is found."""
        start = len(self.log())
        before, packages = self._all(), self._packages()
        yield
        after = self._all()
        assert after == before, f"{difference(before, after)}\nThe home logged: {self.log(start)}"
        assert self._packages() <= packages  # what was there before the version before may go
        self.logged(words, start)

    def logged(self, words: str, start: int) -> None:
        """From the length `start` of the log on there is an error or a warning with `words`, and no fault of ours."""
        text = self.log(start)
        told = [line for line in text.splitlines() if ": ERROR: " in line or ": WARNING: " in line]
        assert any(re.search(words, line) for line in told), text or "nothing was logged"
        assert "Traceback" not in text, text

    def _all(self) -> dict:
        said = self.status()
        kept = {key: said[key] for key in ("serial", "expires", "services", "timeline")}
        return {"runs": dict(self.procd.instances), "files": self.flash(), **kept}

    def refuses(self, words: str) -> None:
        """A pull now is refused: nothing changes, and `words` are found in the log."""
        with self.unharmed(words):
            self.pull()

    def pull(self) -> None:
        """Pull now, and wait until the agent has made of it what it can, and told the manager."""
        if isinstance(self._relay, Wire):
            self._pull_unseen()
            return
        begun = len(self._relay.seen)
        self.call("isdf", "pull")

        def over() -> bool:
            paths = [request.path.rpartition("/")[2] for request in self._relay.seen[begun:]]
            asked = "assignment" in paths
            return asked and "report" in paths[paths.index("assignment") :] and not self.works()

        self.until(over)

    def _pull_unseen(self) -> None:
        """Nobody sees what passes; the agent itself says when it is done."""
        start, before = len(self.log()), self.status()["last_contact"]
        self.call("isdf", "pull")
        self.until(lambda: "pull (asked)" in self.log(start) or self.status()["last_contact"] != before)
        self.until(lambda: not self.works())

    def works(self) -> bool:
        """Whether the agent has processes that pull, install or report."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                # The name of a program, in brackets, may have blanks.
                if Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1] == str(self.agent.pid):
                    return True
        return False

    def cpu(self) -> float:
        """Seconds of the processor that the agent has used."""
        fields = Path(f"/proc/{self.agent.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def in_order(self, **versions: str) -> bool:
        """Whether these run, and the last pull brought nothing else."""
        return not self.status()["error"] and self._runs(versions)

    def takes(self, **versions: str) -> None:
        """A pull now brings `versions` of services: they are installed, started, ready and in force."""
        self.pull()
        self.until(lambda: self._runs(versions))

    def _runs(self, versions: dict[str, str]) -> bool:
        said = self.status()
        states = {line["name"]: (line["version"], line["state"], line["error"]) for line in said["services"]}
        wanted = {name: (version, "running", None) for name, version in versions.items()}
        assert said["error"] is None, said["error"]
        return wanted.items() <= states.items() and versions.items() <= self.versions().items()


def difference(before: dict, after: dict) -> str:
    """What an attack changed."""
    lines = []
    for key in before:
        old, new = before[key], after[key]
        if isinstance(old, dict) and old != new:
            old, new = ({k: v for k, v in one.items() if other.get(k) != v} for one, other in ((old, new), (new, old)))
        if old != new:
            lines.append(f"{key}: {json.dumps(old)[:600]} became {json.dumps(new)[:600]}")
    return "\n".join(lines)


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
