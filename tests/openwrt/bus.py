"""A ubusd of one's own, for tests and the demo: started, killed and started again at one socket."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .programs import program
from .users import as_root


class Bus:
    """`with Bus(folder) as bus`: a ubusd at `bus.socket`, its ACL files in `bus.acl_folder`.

    `argv` says which ubusd (default: the one of `program`); it runs as root, and takes for root who runs the tests.
    Socket and ACL folder are made in `folder`.
    """

    def __init__(self, folder: Path | str, argv: list[str] | None = None) -> None:
        self.socket = str(Path(folder, "ubus.sock"))
        self.acl_folder = Path(folder, "acl.d")
        self.acl_folder.mkdir(exist_ok=True)
        self._argv = [*as_root(), *(argv or program("ubusd")), "-s", self.socket, "-A", str(self.acl_folder)]
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start ubusd and wait until it takes connections (up to 5 s)."""
        self.process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)
        wait_for_socket(self.socket)

    def stop(self) -> None:
        """Kill ubusd as by `kill -9`; the socket stays where it is."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def acl(self, name: str, content: dict, mode: int = 0o644) -> Path:
        """Write an ACL file; ubusd reads it when it starts, and on SIGHUP."""
        path = self.acl_folder / f"{name}.json"
        path.write_text(json.dumps(content))
        path.chmod(mode)
        return path

    def __enter__(self) -> "Bus":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_for_socket(path: str, timeout: float = 5.0) -> None:
    """Return when somebody takes connections at `path`; `TimeoutError` if nobody does within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(os.fspath(path)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody takes connections at {path}")
        time.sleep(0.002)
