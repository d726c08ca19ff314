"""The line between homes and a manager that speaks TLS: bytes pass, to the manager or to whoever sits in between."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Wire:
    """`port` on the loopback is where homes call; each connection goes to the port `target` as it is at that time."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.target = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._join, args=(near, self.target), daemon=True).start()

    def _join(self, near: socket.socket, target: int) -> None:
        with (
            near,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", target)) as far,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    if not (data := key.fileobj.recv(65536)):
                        return
                    key.data.sendall(data)
