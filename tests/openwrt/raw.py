"""A client of the bus without a library, for what no library would do."""

import socket

from isdf.ubus import message
from isdf.ubus.message import Attr, Reader

from .bus import Bus


class Raw:
    """One connection; `id` is what ubusd calls it."""

    def __init__(self, bus: Bus) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(bus.socket)
        self.socket.settimeout(5)
        self._reader, self._got = Reader(), []
        self.id = self.receive().peer

    def receive(self):
        while not self._got:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError
            self._got += self._reader.feed(data)
        return self._got.pop(0)

    def ask(self, type: int, attrs: dict, peer: int = 0):
        """Send, and read up to the status: its number and the data messages before it."""
        self.socket.sendall(message.pack(type, 7, peer, attrs))
        data = []
        while (got := self.receive()).type != message.STATUS or got.seq != 7:
            data.append(got)
        return got.number(Attr.STATUS), data

    def silent(self) -> bool:
        """Whether nothing more has come up to now (ubusd is asked, so that it has come)."""
        _, data = self.ask(message.PING, {})
        return [got.type for got in data] == [message.DATA]
