"""A wall clock that a test sets, in every Python process that is started with this folder on its path."""

import os
import time

_path, _time, _time_ns = os.environ["ATTACKS_CLOCK"], time.time, time.time_ns


def _ahead() -> int:
    """Seconds by which the clock is ahead."""
    with open(_path) as file:
        return int(file.read() or 0)


time.time = lambda: _time() + _ahead()
time.time_ns = lambda: _time_ns() + _ahead() * 1_000_000_000
