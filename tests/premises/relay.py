"""Carry frames between two devices and keep each for a while: `python -m premises.relay A B MILLISECONDS LOSS_PERCENT`.

The frames pass with the kernel's own note on them (virtio-net header), so checksums that a device left to be
filled in stay so. Order is kept. Source: packet(7), linux/if_packet.h, linux/virtio_net.h.
"""

from __future__ import annotations

import collections
import random
import select
import socket
import sys
import time

_ALL = 0x0003  # ETH_P_ALL
_SOL_PACKET, _VNET_HEADER, _IGNORE_OUTGOING = 263, 15, 23
_WAITING = 2000  # frames; a line that holds more is congested and drops


def main(first: str, second: str, milliseconds: str, loss_percent: str) -> None:
    sides = [_open(first), _open(second)]
    print("ready", flush=True)
    wait, loss = float(milliseconds) / 1000, float(loss_percent) / 100
    queue: collections.deque = collections.deque()
    while True:
        timeout = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for side in select.select(sides, [], [], timeout)[0]:
            frame = side.recv(70_000)
            if len(queue) < _WAITING and random.random() >= loss:
                queue.append((time.monotonic() + wait, sides[side is sides[0]], frame))
        while queue and queue[0][0] <= time.monotonic():
            _, side, frame = queue.popleft()
            try:
                side.send(frame)
            except OSError:  # the device is down or full: as on a wire, the frame is lost
                continue


def _open(device: str) -> socket.socket:
    side = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    side.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
    side.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    side.bind((device, _ALL))
    return side


if __name__ == "__main__":
    main(*sys.argv[1:])
