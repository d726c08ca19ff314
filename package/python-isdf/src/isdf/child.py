"""A child process of the loop: fed, read, waited for and, when its time is up, killed, without ever blocking."""

from __future__ import annotations

import os
from collections.abc import Callable

from .log import Log
from .process import Process

log = Log(__name__)
_PIECE = 65536
_SOON = 0.005  # seconds


def start(loop, argv: list[str], done: Callable[[int, bytes], None], stdin: bytes, timeout: float, **options):
    """See `Loop.child`. The answer is the `Process`."""
    to_read, feed = os.pipe()
    out, to_write = os.pipe()
    try:
        process = Process(argv, stdin=to_read, stdout=to_write, **options)
    except OSError:
        os.close(feed)
        os.close(out)
        raise
    finally:
        os.close(to_read)
        os.close(to_write)
    left, pieces, opened = memoryview(stdin), [], {feed, out}
    for pipe in opened:
        os.set_blocking(pipe, False)

    def writable() -> None:
        nonlocal left
        try:
            left = left[os.write(feed, left[:_PIECE]) :] if left else left
        except BlockingIOError:
            pass
        except BrokenPipeError:
            left = left[:0]  # it reads no more; its exit status tells
        if not left:
            close(feed)

    def close(pipe: int) -> None:
        if pipe in opened:
            opened.remove(pipe)
            loop.watch(pipe, None)
            os.close(pipe)

    def readable() -> None:
        try:
            data = os.read(out, _PIECE)
        except BlockingIOError:
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
        process.kill()
        if out in opened:  # somebody in a session of his own may keep it open for ever
            close(out)
            reap()

    deadline = loop.after(timeout, kill)
    loop.watch(out, readable)
    loop.watch(feed, None, writable)
    writable()
    return process
