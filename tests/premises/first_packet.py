"""Tells when the first packet of a class other than the base is counted, and when no class is left.

`python -m premises.first_packet` in a router prints `in UNIX_MS` and later `out UNIX_MS`. It reads the kernel's own
counters and asks nothing of the agent.
"""

import sys
import time

from isdf.errors import KernelError
from isdf_agent.dataplane.nft import Nft
from isdf_agent.dataplane.port import BASE
from isdf_agent.dataplane.ruleset import TABLE

PERIOD = 0.005  # seconds


def packets(nft: Nft) -> int | None:
    """Packets counted in all classes but the base; None where there is no such class."""
    try:
        listed = nft.read(f"list counters table {TABLE}")
    except KernelError:
        return None
    counters = [entry["counter"] for entry in listed if "counter" in entry]
    found = [c["packets"] for c in counters if not c["name"].endswith(f"_{BASE}")]
    return sum(found) if found else None


def wait(condition) -> int:
    """Unix milliseconds at which `condition()` became true."""
    while not condition():
        time.sleep(PERIOD)
    return time.time_ns() // 1_000_000


def main() -> int:
    nft = Nft()
    print("in", wait(lambda: packets(nft)), flush=True)
    print("out", wait(lambda: packets(nft) is None), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
