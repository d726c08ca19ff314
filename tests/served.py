"""`isdf-manager serve` as a process, and the command line beside it: for tests of the manager as it runs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from premises import syscalls

COMMAND = [sys.executable, "-c", "import sys; from isdf_manager.cli import main; sys.exit(main())"]


def wait_for(condition: Callable, seconds: float = 15):
    """What `condition` gives when it gives something true; asserts that it does in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


class Http:
    """What `simulated_router.Router` needs of a client, over real connections."""

    def __init__(self, url: str, authority: Path | None = None) -> None:
        self.url, self._verify = url, str(authority) if authority else True

    def open(self, path, method, data, headers, environ_overrides):
        url = self.url + path
        answer = requests.request(method, url, data=data, headers=headers, timeout=10, verify=self._verify)
        answer.data, answer.json = answer.content, answer.json() if answer.content.startswith(b"{") else None
        return answer


class Served:
    """A manager's home in `folder`, served on a free port of this machine by `scheme`."""

    def __init__(self, folder: Path, scheme: str = "http") -> None:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
            self.port = sock.getsockname()[1]
        self.folder, self.home = folder, folder / "home"
        self.url = f"{scheme}://[::1]:{self.port}"
        self.log = folder / "log"
        self.process: subprocess.Popen | None = None

    def __call__(self, *words) -> str:
        done = subprocess.run([*COMMAND, "--home", self.home, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def authority(self) -> Path:
        return self.home / "keys/authority.pem"

    @property
    def http(self) -> Http:
        return Http(self.url, self.authority)

    def start(self) -> None:
        self.begin()
        wait_for(self.answers)

    def begin(self) -> None:
        """Start `serve`, and do not wait until it answers."""
        words = [*COMMAND, "--home", self.home, "serve", "--listen", f"[::]:{self.port}"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, start_new_session=True, preexec_fn=syscalls.die_with_parent
            )

    def answers(self) -> bool:
        try:
            return self.http.open("/health", "GET", None, {}, {}).ok
        except requests.ConnectionError:
            return False

    def memory(self) -> int:
        """Bytes of physical memory that `serve` has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    def kill(self) -> None:
        """As the power goes: all of it, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(15) == 0
