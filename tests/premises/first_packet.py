"""Tells when the first packet of a class other than the base is counted, and when no class is left.

`python -m premises.first_packet` in a router prints `in UNIX_MS` and later `out UNIX_MS`. It reads the kernel's own
counters and asks nothing of the agent. It looks only when the kernel tells of a change: to look all the time would take
a third of a processor from what is measured.
"""

import contextlib
import select
import socket
import sys
import time

from isdf.errors import KernelError
from isdf_agent.dataplane.nft import Nft
from isdf_agent.dataplane.port import BASE
from isdf_agent.dataplane.ruleset import TABLE

PERIOD = 0.005  # seconds between looks for a packet in a class that is there
_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES = 12, 270, 1, 7  # linux/netlink.h, linux/netfilter/nfnetlink.h


def packets(nft: Nft) -> int | None:
    """Packets counted in all classes but the base; None where there is no such class."""
    try:
        listed = nft.read(f"list counters table {TABLE}")
    except KernelError:
        return None
    counters = [entry["counter"] for entry in listed if "counter" in entry]
    found = [c["packets"] for c in counters if not c["name"].endswith(f"_{BASE}")]
    return sum(found) if found else None


class Changes:
    """What the kernel tells of changes to its rules, sets and counters."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES)

    def wait_until(self, condition) -> None:
        """Look at `condition()` now, and after each change."""
        while not condition():
            select.select([self._socket], [], [])
            with contextlib.suppress(OSError):  # nothing more; or more than the buffer holds, which is a change too
                while True:
                    self._socket.recv(1 << 16)


def now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def main() -> int:
    nft, changes = Nft(), Changes()
    changes.wait_until(lambda: packets(nft) is not None)
    while not packets(nft):
        time.sleep(PERIOD)
    print("in", now(), flush=True)
    changes.wait_until(lambda: packets(nft) is None)
    print("out", now(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
