"""A fair queue where the kernel has none: sixteen HTB children for each class, and every connection in one of them.

Loaded only where probing finds neither cake nor fq_codel. Connections get their bucket in turn (`numgen inc`), at the
first packet that passes: a hash would put two downloads into one bucket in one run of sixteen. The bucket is kept in
four bits of the connection mark, a fifth says that it is assigned; both lie inside the mask that is ours, and other
bits stay as they are. Connections that were there before get theirs at their next packet.
"""

from __future__ import annotations

from isdf.errors import InvalidError

COUNT = 16


class Buckets:
    """The nft half, for `mask`, the bits of the connection mark that are ours (at least five; the lowest are used)."""

    def __init__(self, mask: int) -> None:
        bits = [1 << n for n in range(32) if mask >> n & 1][:5]
        if len(bits) < 5:
            raise InvalidError(
                f"mark_mask {mask:#010x} has fewer than the five bits that a kernel without fq_codel needs"
            )
        self._assigned = bits[4]
        self._all = sum(bits)
        self._marks = [sum(bit for n, bit in enumerate(bits[:4]) if bucket >> n & 1) for bucket in range(COUNT)]

    @property
    def assign(self) -> str:
        """The first rule of a direction: a connection without a bucket gets one."""
        return f"ct mark & {self._assigned:#010x} == 0 jump bucket"

    def chains(self) -> dict[str, list[str]]:
        """`bucket` takes the next in turn, `bucket_N` notes it in the connection."""
        turns = ", ".join(f"{n} : goto bucket_{n}" for n in range(COUNT))
        keep = ~self._all & 0xFFFFFFFF
        chains = {
            f"bucket_{n}": [f"ct mark set ct mark & {keep:#010x} | {mark | self._assigned:#010x}"]
            for n, mark in enumerate(self._marks)
        }
        return {**chains, "bucket": [f"numgen inc mod {COUNT} vmap {{ {turns} }}"]}

    def priority(self, number: int) -> str:
        """The rule that sends a packet of class `number` to its bucket; untracked ones stay in the first."""
        # The blank before each comma: nft 1.0.6 reads "1:10," as one word.
        choice = " , ".join(f"{mark:#010x} : 1:{number:x}{n:x}" for n, mark in enumerate(self._marks))
        return f"meta priority set ct mark & {self._all & ~self._assigned:#010x} map {{ {choice} }}"


def shares(rate: int) -> int:
    """The rate that a bucket is guaranteed of its class's `rate`, in bytes/s; the rest it borrows in turn."""
    return max(1, rate // COUNT)
