"""Stand-in for OpenWrt's ubusd: `python -m openwrt.ubusd [-s SOCKET] [-A FOLDER WITH ACL FILES]`.

It speaks the real wire protocol, so that OpenWrt's own `ubus` and programs with libubus work with it; SIGHUP reads the
ACL files again. Here is the socket side; `ubusd_broker` has what messages mean, `ubusd_acl` who may send them.
Reference: openwrt/ubus `ubusd_main.c`, `ubusd.c`.
"""

import argparse
import os
import select
import signal
import socket
import struct
import sys
from collections import deque

from isdf.errors import FormatError
from isdf.loop import Loop
from isdf.ubus.blobmsg import MAX_SIZE
from isdf.ubus.message import Message, Reader

from .ubusd_acl import Acl, Credentials
from .ubusd_broker import LATER, Broker


class Client:
    """One connection. What it does not read is kept up to a megabyte; what would go beyond that is dropped."""

    def __init__(self, server, link: socket.socket, who: Credentials) -> None:
        self.id, self.who = 0, who
        self._server, self._socket = server, link
        self._reader, self._unsent = Reader(MAX_SIZE), bytearray()
        self._waiting: deque[tuple[Message, str | None]] = deque()  # lookups that wait for room
        self._gone = False

    @property
    def blocked(self) -> bool:
        return bool(self._unsent)

    def send(self, data: bytes) -> None:
        if self._gone:
            return
        if not self._unsent:
            sent = self._write(data)
            if sent == len(data):
                return
            data = data[sent:]
            self._watch(writing=True)
        if len(self._unsent) + len(data) <= MAX_SIZE:
            self._unsent += data

    def wait_for_room(self, lookup: Message, after: str | None) -> None:
        # What has begun goes on before what has not.
        (self._waiting.appendleft if after is not None else self._waiting.append)((lookup, after))

    def _going(self) -> int:
        """0; or POLLRDHUP where the other side sends no more; or with POLLHUP, too, where it takes no more either."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return sum(events for _, events in poll.poll(0))

    def start(self) -> None:
        self._watch(writing=self.blocked)

    def _write(self, data: bytes) -> int:
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except OSError:
            return 0  # not now, or gone: then reading tells

    def _watch(self, writing: bool) -> None:
        self._server.loop.watch(self._socket.fileno(), self._readable, self._writable if writing else None)

    def _writable(self) -> None:
        del self._unsent[: self._write(self._unsent)]
        broker = self._server.broker
        while not self._unsent and self._waiting:
            lookup, after = self._waiting.popleft()
            status = broker.lookup(self, lookup, after)
            if status is not LATER:
                broker.answer(self, lookup, status)
        if not self._unsent:
            self._watch(writing=False)

    def _readable(self) -> None:
        try:
            # As with ubusd, what somebody said right before he went is not heard, and what he is owed is still sent.
            going = self._going()
            if going == select.POLLRDHUP and self._unsent:
                self._server.loop.watch(self._socket.fileno(), None, self._writable)
                return
            data = b"" if going else self._socket.recv(65536)
            messages = self._reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, FormatError):
            data, messages = b"", []
        for got in messages:
            self._server.broker.receive(self, got)
        if not data:
            self._gone = True
            self._server.loop.watch(self._socket.fileno(), None)
            self._server.broker.leave(self)
            self._socket.close()


class Server:
    def __init__(self, path: str, acl_folder: str) -> None:
        self.loop, self.broker, self._path = Loop(), Broker(Acl(acl_folder)), path
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        os.umask(0o111)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(socket.SOMAXCONN)
        self._socket.setblocking(False)
        self.broker.own.load_acl()
        self.loop.watch(self._socket.fileno(), self._accept)
        self.loop.on_signal(signal.SIGHUP, self.broker.own.load_acl)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self.loop.stop)

    def run(self) -> None:
        self.loop.run()
        os.unlink(self._path)

    def _accept(self) -> None:
        try:
            link, _ = self._socket.accept()
        except OSError:
            return
        link.setblocking(False)
        credentials = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            client = Client(self, link, Credentials(*credentials))
        except KeyError as error:
            print(f"ubusd: a client was turned away: {error.args[0]}", file=sys.stderr, flush=True)
            link.close()
            return
        self.broker.join(client)
        client.start()


def main() -> None:
    parser = argparse.ArgumentParser(prog="ubusd", description=__doc__.splitlines()[0])
    parser.add_argument("-s", dest="socket", default="/var/run/ubus/ubus.sock", help="the socket to listen on")
    parser.add_argument("-A", dest="acl", default="/usr/share/acl.d", help="the folder with the ACL files")
    args = parser.parse_args()
    Server(args.socket, args.acl).run()


if __name__ == "__main__":
    main()
