"""A number by chance, so that a thousand routers do not come at once. `random` is a generator of 0.1 MB."""

import os


def uniform(low: float, high: float) -> float:
    """A number from `low` up to `high`."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / (1 << 32)
