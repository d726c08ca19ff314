"""Many routers' requests from few threads, as a process of its own: `python3 -m bench.clients`, JSON in, JSON out.

`kind` is "pull" (a signed request that is answered with 304) or "forged" (one that nobody signed, of a device that does
not exist); `connections` is "new" (a TLS connection for each, as a router's pull makes it) or "kept" (a connection for
each thread). `addresses` are as many that a trusted proxy would name; 0: none. The result: answers by status.
"""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections import Counter

from isdf import wire

THREADS = 4


class Client(threading.Thread):
    """Asks until `end` (of the monotonic clock)."""

    def __init__(self, told: dict, context: ssl.SSLContext, end: float) -> None:
        super().__init__()
        self._told, self._context, self._end = told, context, end
        self._devices = list(told["keys"].items())
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        connection = None
        while time.monotonic() < self._end:
            connection = connection or self._connect()
            connection.sendall(self._request())
            self.answers[self._answer(connection)] += 1
            if self._told["connections"] == "new":
                connection.close()
                connection = None

    def _connect(self) -> ssl.SSLSocket:
        connection = socket.create_connection(("::1", self._told["port"]), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(connection, server_hostname="::1")

    def _request(self) -> bytes:
        now, nonce = int(time.time()), os.urandom(16).hex()
        if self._told["kind"] == "pull":
            name, key = random.choice(self._devices)
            path = f"/device/{name}/assignment"
            seal = wire.sign_request(wire.derive(bytes.fromhex(key), "request"), "GET", path, "", now, nonce)
        else:
            path, seal = f"/device/{nonce[:12]}/assignment", nonce * 2
        lines = [
            f"GET {path} HTTP/1.1", "Host: manager", "Accept-Encoding: identity", f"Isdf-Time: {now}",
            f"Isdf-Nonce: {nonce}", f"Isdf-Signature: {seal}", f'If-None-Match: "{self._told["etag"]}"',
        ]  # fmt: skip
        if many := self._told["addresses"]:
            number = random.randrange(many)
            lines.append(f"X-Forwarded-For: 10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        return "\r\n".join([*lines, "\r\n"]).encode()

    def _answer(self, connection: ssl.SSLSocket) -> int:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += connection.recv(4096)
        head = data[:end].lower()
        at = head.find(b"content-length: ")
        size = int(head[at + 16 :].split(b"\r\n")[0]) if at >= 0 else 0
        while len(data) < end + 4 + size:
            data += connection.recv(4096)
        return int(head[9:12])


def main() -> None:
    told = json.load(sys.stdin)
    context = ssl.create_default_context(cafile=told["authority"])
    end = time.monotonic() + told["seconds"]
    clients = [Client(told, context, end) for _ in range(THREADS)]
    for client in clients:
        client.start()
    answers: Counter[int] = Counter()
    for client in clients:
        client.join()
        answers += client.answers
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
