"""UDP that accounts for every packet, and keeps a queue standing without ever filling it.

`python datagrams.py serve` answers on port 7000. `python datagrams.py send JSON` keeps, for each flow of the list
`[{"to": address, "send": bytes, "answer": bytes, "window": packets}, ...]`, so many packets under way: an answer lets
the next one go. Some packets always wait in the queue of the narrowest link, and never more than the window; with a
window below what a queue holds, a missing packet was lost to something else than a full queue. It sends until its
standard input ends, waits for what is under way, and prints `[{"sent": n, "lost": n}, ...]`.
"""

import json
import os
import select
import socket
import struct
import sys
import time

PORT = 7000
HEADER = struct.Struct("!QI")
LOST = 3.0  # seconds; many times what the longest queue here takes


def serve() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("::", PORT))
        print("ready", flush=True)
        while True:
            data, sender = sock.recvfrom(2048)
            sequence, size = HEADER.unpack_from(data)
            sock.sendto(HEADER.pack(sequence, 0).ljust(size, b"\0"), sender)


class Flow:
    def __init__(self, to: str, send: int, answer: int, window: int) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((to, PORT))
        self._socket.setblocking(False)
        self._send, self._answer, self._window = send, answer, window
        self.sent = self.lost = 0
        self.under_way: dict[int, float] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def fill(self) -> None:
        now = time.monotonic()
        for sequence in [s for s, at in self.under_way.items() if now - at > LOST]:
            del self.under_way[sequence]
            self.lost += 1
        while len(self.under_way) < self._window:
            self._socket.send(HEADER.pack(self.sent, self._answer).ljust(self._send, b"\0"))
            self.under_way[self.sent] = now
            self.sent += 1

    def take(self) -> None:
        try:
            while True:
                self.under_way.pop(HEADER.unpack_from(self._socket.recv(2048))[0], None)
        except BlockingIOError:
            pass


def send(flows: list[Flow]) -> None:
    while True:
        for flow in flows:
            flow.fill()
        readable, _, _ = select.select([*flows, sys.stdin], [], [], 0.2)
        if sys.stdin in readable and not os.read(0, 64):
            break
        for flow in flows:
            flow.take()
    deadline = time.monotonic() + LOST
    while any(flow.under_way for flow in flows) and (left := deadline - time.monotonic()) > 0:
        select.select(flows, [], [], left)
        for flow in flows:
            flow.take()
    print(json.dumps([{"sent": flow.sent, "lost": flow.lost + len(flow.under_way)} for flow in flows]))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        send([Flow(**words) for words in json.loads(sys.argv[2])])
