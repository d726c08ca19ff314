"""One host of the premises: run programs in it, look at its files, kill its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from . import privilege, rootfs

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "USER": "root", "LC_ALL": "C.UTF-8"}
FILES = Path(__file__).parent / "files"  # trees as they are on every host (`host`) and on a router (`router`)
_ENTERING = ["setpriv", "--pdeathsig", "KILL"]  # a program must not outlive the process that brought it in


class Process(subprocess.Popen):
    """A program in a host. `pid` is that of the process that brought it in and waits; signals reach the program."""

    def send_signal(self, sig: int) -> None:
        program = wait_until(lambda: self.poll() is not None or child_of(self.pid), what="the start of a program")
        if program is not True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, sig)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error:  # whoever raised it does not mean to wait for the program's end
            self.kill()
        super().__exit__(kind, error, trace)


class Host:
    """`name` as in `home1.client1`; `pid` is that of the process that holds the host's namespaces, seen from here."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self._running: list[Process] = []

    def __repr__(self) -> str:
        return f"<host {self.name}>"

    def path(self, path: str | os.PathLike = "/") -> Path:
        """A file of this host as it is seen from outside. Absolute links in it lead astray; those we make are relative.

        For an unprivileged user only what the host's root owns can be changed.
        """
        return Path(f"/proc/{self.pid}/root", str(path).lstrip("/"))

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into this host, in the place of whatever is there."""
        rootfs.replace(self.path(path), text, mode)

    def copy(self, folder: Path, to: str) -> None:
        """Put a folder of this machine into this host; what is there already stays beside it."""
        for source in sorted(folder.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                self.write(str(Path(to, source.relative_to(folder))), source.read_text(), mode)

    def read(self, path: str) -> str:
        return self.path(path).read_text()

    def argv(self, argv: Sequence[str | os.PathLike]) -> list[str]:
        """The command line that runs `argv` in this host, from this machine; its environment is to be `ENVIRONMENT`."""
        return [*enter(self.pid), *_ENTERING, *map(str, argv)]

    def popen(self, argv: Sequence[str | os.PathLike], env: Mapping[str, str] | None = None, **options) -> Process:
        """Start a program; it ends with the premises at the latest. `options` are those of `subprocess.Popen`."""
        options = {"stdin": subprocess.DEVNULL, "start_new_session": True} | options
        process = Process(self.argv(argv), env=ENVIRONMENT | dict(env or {}), **options)
        self._running = [other for other in self._running if other.poll() is None] + [process]
        return process

    def run(
        self, argv: Sequence[str | os.PathLike], *, check: bool = True, timeout: float = 60, env=None, input=None
    ) -> subprocess.CompletedProcess:
        """Run a program to its end, with its output as text; a status other than 0 is a `CalledProcessError`."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        if input is not None:
            pipes["stdin"] = subprocess.PIPE
        with self.popen(argv, env, **pipes) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            error = subprocess.CalledProcessError(process.returncode, list(map(str, argv)), out, err)
            error.add_note(f"on {self.name}: {err.strip() or out.strip()}")
            raise error
        return subprocess.CompletedProcess(list(map(str, argv)), process.returncode, out, err)

    def daemon(self, name: str, argv: Sequence[str | os.PathLike], env: Mapping[str, str] | None = None) -> Process:
        """Start a program whose output goes to /var/log/NAME.log."""
        log = self.path(f"/var/log/{name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return self.popen(argv, env, stdout=output, stderr=subprocess.STDOUT)

    @property
    def interpreter(self) -> str:
        """The Python in this host that has the project's packages."""
        return f"{rootfs.PYTHON}/bin/python3" if self.path(rootfs.PYTHON).exists() else sys.executable

    def python(self, module: str, *arguments: str) -> list[str]:
        """The command line of a module of this project in this host."""
        return [self.interpreter, "-m", module, *arguments]

    def reaches(self, *targets: str) -> dict[str, bool]:
        """Which of `icmp:ADDRESS`, `tcp:ADDRESS:PORT`, `udp:ADDRESS:PORT` and `dns:NAME` this host reaches."""
        return json.loads(self.run(self.python("premises.probe", *targets)).stdout)

    @contextlib.contextmanager
    def answering(self, kind: str, port: int) -> Iterator[Process]:
        """Answer on a port, `udp` or `tcp`; the process prints the address of everybody who reaches it."""
        with self.popen(self.python("premises.echo", kind, str(port)), stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()  # "ready"
            try:
                yield process
            finally:
                process.kill()

    def processes(self) -> dict[int, str]:
        """Pids (as seen from here) and command lines of what runs in this host, without its holder."""
        mine = _spaces(self.pid)
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(pid) != self.pid and _spaces(pid) == mine:
                    line = Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if line[0] and line[: len(_ENTERING)] != _ENTERING:  # a zombie has no line
                        found[int(pid)] = " ".join(line).strip()
        return found

    def find(self, words: str) -> list[int]:
        """Pids of the processes whose command line contains `words`, oldest first."""
        return sorted(pid for pid, line in self.processes().items() if words in line)

    def kill(self, words: str = "", sig: int = signal.SIGKILL) -> list[int]:
        """Signal every process whose command line contains `words`; returns their pids."""
        pids = self.find(words)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        return pids

    def close(self) -> None:
        """Reap what was started here; called when the host's processes are gone."""
        for process in self._running:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self._running.clear()


def child_of(parent: int) -> int | None:
    """The pid of a process whose parent is `parent` (not every kernel has /proc/PID/task/PID/children)."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            # The second field, the name in parentheses, may contain anything.
            if int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                return int(pid)
    return None


def _spaces(pid: int | str) -> tuple[str, str]:
    """The network and the pid namespace; an entering process is in the one and not in the other."""
    return os.readlink(f"/proc/{pid}/ns/net"), os.readlink(f"/proc/{pid}/ns/pid")


def enter(pid: int, *, network_only: bool = False) -> list[str]:
    """The start of a command line that runs the rest in the namespaces of the host held by `pid`.

    With `network_only` the program keeps this machine's files and pids, so that `ip` can name other hosts by pid.
    """
    user = [] if privilege.is_root() else ["-U"]
    others = ["-n"] if network_only else ["-m", "-n", "-u", "-i", "-p"]
    return ["nsenter", "-t", str(pid), *user, *others, "--"]


def wait_until(condition: Callable[[], object], timeout: float = 10, what: str = "the condition") -> object:
    """The first true value of `condition()`, tried again and again; `TimeoutError` naming `what` after `timeout` s."""
    deadline, pause = time.monotonic() + timeout, 0.002
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return value
