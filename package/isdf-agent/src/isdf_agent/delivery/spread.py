"""When something is tried again: later after each failure, and by chance, so that not a thousand routers come at once.

`random` is a generator of 0.1 MB.
"""

import os


def uniform(low: float, high: float) -> float:
    """A number from `low` up to `high`."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / (1 << 32)


def doubled(first: float, failures: int, most: float = float("inf")) -> float:
    """`first` after the first of so many failures in a row, twice as much after each further one, at most `most`."""
    return min(first * 2.0 ** min(failures - 1, 30), most)
