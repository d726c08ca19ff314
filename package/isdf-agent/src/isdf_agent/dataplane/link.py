"""The agent's side of the link worker: starts it, asks it and waits, and starts it again when it is gone."""

from __future__ import annotations

import json
import socket
import sys
import time

from isdf.errors import KernelError
from isdf.log import Log
from isdf.process import Process

log = Log(__name__)
TIMEOUT = 10.0  # seconds for one operation; on a 400 MHz MIPS the start alone takes two
TABLE_TIMEOUT = 60.0  # seconds for the operations on a whole table, which may have thousands of elements
_TRIES = 3
_MERCY, _LOOK = 1.0, 0.005  # seconds for a worker to see that it is not wanted any more; between looks


class LinkWorker:
    """`call` blocks until the answer is there. With a `loop`, a worker that ends is waited for at once (no zombie)."""

    def __init__(self, loop=None, timeout: float = TIMEOUT) -> None:
        self._loop, self._timeout = loop, timeout
        self._process: Process | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def warm(self) -> None:
        """Start the worker if it is not there, without waiting for it: its imports take most of the first call.

        `KernelError` when it cannot start.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        try:
            argv = [sys.executable, "-P", "-m", "isdf_agent.dataplane.link_worker"]
            self._process = Process(argv, stdin=theirs.fileno())
        except OSError as error:  # no memory for another process, for example
            ours.close()
            raise KernelError(f"the link worker does not start: {error.strerror or error}") from None
        finally:
            theirs.close()
        self._socket = ours
        if self._loop is not None:
            self._loop.watch(ours.fileno(), self._readable)

    def call(self, op: str, **args) -> dict | list | None:
        """The worker's answer; `KernelError` with its sentence, or when no worker answers in time.

        A worker that dies in the middle is replaced and asked again, because each operation says what should be.
        """
        request = json.dumps({"op": op, **args}).encode() + b"\n"
        timeout = TABLE_TIMEOUT if op in ("run", "read") else self._timeout
        for _ in range(_TRIES):
            self.warm()
            try:
                self._socket.settimeout(timeout)
                self._socket.sendall(request)
                line = self._line(timeout)
            except TimeoutError:
                self._kill()
                raise KernelError(f"the link worker did not answer in {timeout:g} s; it was killed") from None
            except OSError as error:
                log.warning("the link worker is gone (%s); starting it again", error)
                self.close()
                continue
            answer = json.loads(line)
            if "error" in answer:
                raise KernelError(answer["error"])
            return answer["ok"]
        raise KernelError(f"the link worker died {_TRIES} times during {op}; its last words are in the log")

    def close(self) -> None:
        """Let the worker go; it ends when it sees its socket closed."""
        if self._socket is not None:
            if self._loop is not None:
                self._loop.watch(self._socket.fileno(), None)
            self._socket.close()
            self._socket = None
        if self._process is not None:
            until = time.monotonic() + _MERCY
            while self._process.poll() is None and time.monotonic() < until:
                time.sleep(_LOOK)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()

    def _line(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        pieces: list[bytes] = []
        while not pieces or not pieces[-1].endswith(b"\n"):
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("it closed its socket")
            pieces.append(data)
        return b"".join(pieces)

    def _readable(self) -> None:
        """Between calls the worker says nothing; so this is its end."""
        self.close()
