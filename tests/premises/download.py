"""A download by curl over one HTTP connection, measured at the client as it arrives."""

from __future__ import annotations

import subprocess
import threading
import time

from .host import Host


class Download:
    """Runs from the start; `samples` are (seconds on `time.monotonic`, bytes so far). `broken`: it ended by itself."""

    def __init__(self, client: Host, url: str) -> None:
        # No retry, no second connection: what breaks is seen. IPv4, whose headers take 4 of 100 bytes (IPv6: 6).
        self._process = client.popen(["curl", "-4sS", "--no-buffer", "--retry", "0", url], stdout=subprocess.PIPE)
        self.samples: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._stopped = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def broken(self) -> bool:
        return not self._stopped and not self._thread.is_alive()

    def stop(self) -> None:
        self._stopped = True
        self._process.kill()
        self._thread.join()
        self._process.stdout.close()

    def _read(self) -> None:
        total = 0
        while data := self._process.stdout.read1(65536):
            total += len(data)
            self.samples.append((time.monotonic(), total))
        self._process.wait()
