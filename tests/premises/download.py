"""What comes out of a program, as it comes; a download by curl over one HTTP connection, measured so at the client."""

from __future__ import annotations

import subprocess
import threading
import time

from .host import Host, Process


class Transfer:
    """Runs from the start; `samples` are (seconds on `time.monotonic`, bytes so far). `broken`: it ended by itself."""

    def __init__(self, program: Process) -> None:
        self._program = program
        self.samples: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._stopped = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def broken(self) -> bool:
        return not self._stopped and not self._thread.is_alive()

    def stop(self) -> None:
        self._stopped = True
        self._program.kill()
        self._thread.join()
        self._program.stdout.close()

    def _read(self) -> None:
        total = 0
        while data := self._program.stdout.read1(65536):
            total += len(data)
            self.samples.append((time.monotonic(), total))
        self._program.wait()


class Download(Transfer):
    """By IPv4, whose headers take 4 of 100 bytes, or by IPv6 (6). Without a retry, so that what breaks is seen."""

    def __init__(self, client: Host, url: str, family: int = 4) -> None:
        words = ["curl", f"-{family}sS", "--no-buffer", "--retry", "0", url]
        super().__init__(client.popen(words, stdout=subprocess.PIPE))
