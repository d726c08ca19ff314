"""A child process of the loop: fed, read, waited for and, when its time is up, killed, without ever blocking."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

from .log import Log

log = Log(__name__)
_PIECE = 65536
_SOON = 0.005  # seconds


def start(loop, argv: list[str], done: Callable[[int, bytes], None], stdin: bytes, timeout: float, **popen):
    """See `Loop.child`. The answer is the `subprocess.Popen`."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    process = subprocess.Popen(argv, start_new_session=True, **pipes, **popen)
    feed, out = process.stdin, process.stdout
    left, pieces = memoryview(stdin), []
    for pipe in (feed, out):
        os.set_blocking(pipe.fileno(), False)

    def writable() -> None:
        nonlocal left
        try:
            left = left[feed.write(left[:_PIECE]) or 0 :] if left else left
        except BrokenPipeError:
            left = left[:0]  # it reads no more; its exit status tells
        if not left:
            close(feed)

    def close(pipe) -> None:
        if not pipe.closed:
            loop.watch(pipe.fileno(), None)
            pipe.close()

    def readable() -> None:
        data = out.read(_PIECE)
        if data is None:
            return
        if data:
            pieces.append(data)
            return
        close(out)
        reap()

    def reap() -> None:
        # The pipe is closed, so the process is ending; do not block the loop for the rest of it.
        status = process.poll()
        if status is None:
            loop.after(_SOON, reap)
            return
        deadline.cancel()
        close(feed)
        done(status, b"".join(pieces))

    def kill() -> None:
        log.error("%s did not end within %g s; it was killed", argv[0], timeout)
        os.killpg(process.pid, signal.SIGKILL)
        if not out.closed:  # somebody in a session of his own may keep it open for ever
            close(out)
            reap()

    deadline = loop.after(timeout, kill)
    loop.watch(out.fileno(), readable)
    loop.watch(feed.fileno(), None, writable)
    writable()
    return process
