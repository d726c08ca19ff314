"""The socket to ubusd: requests and their ends, work to be done, and the way back when ubusd was away.

Everything that comes in is either the end of a request, which is noted at once, or work (a call of one of our
objects, an event, an answer's callback), which is queued. Work is done by the loop alone, one piece after the other,
so that a synchronous call inside a handler reads on without ever entering a second handler.
Reference: openwrt/ubus `libubus-io.c`, `libubus-req.c`, `ubusd_proto.c`.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from ..errors import FormatError, UnavailableError
from ..log import Log
from . import message
from .message import Attr, Message, Status, StatusError
from .work import Work

log = Log(__name__)

BACKOFF = 0.05, 1.0  # seconds before the first and, doubled each time, at most before a further reconnection
LAST_WORDS = 1.0  # seconds that the end of a connection waits at most for ubusd to have read
MAX_UNSENT = 4 << 20  # bytes; a ubusd that takes nothing any more is as good as gone

Done = Callable[[int, list[Message]], None]


class Link:
    """`request` and `exchange` ask, `enqueue` queues work, `attach` hands all of it to a loop.

    A subclass says what to do with what comes in (`dispatch`), and after a new connection (`renew`) or a lost one
    (`on_lost`).
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path, self.timeout = path, timeout
        self.id = 0  # our client id
        self.epoch = 0  # counts the connections made
        self._socket: socket.socket | None = None
        self._reader = message.Reader()
        self._unsent = bytearray()
        self._seq = 0
        self._pending: dict[int, tuple[int, Done, list[Message], bool]] = {}
        self._work = Work()
        self._waiting = 0  # synchronous requests, one inside the other
        self._loop = None
        self._opening = self._closed = False
        self._opened, self._backoff = 0.0, BACKOFF[0]
        self._retry = None

    @property
    def connected(self) -> bool:
        return self._socket is not None

    # -- connection -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect and read ubusd's hello; `UnavailableError`."""
        self._reader, self._unsent, self._opened = message.Reader(), bytearray(), time.monotonic()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(self.timeout)
            link.connect(self.path)
            messages = []
            while not messages:
                data = link.recv(4096)
                if not data:
                    raise OSError("it closed the connection")
                messages = self._reader.feed(data)
            if messages[0].type != message.HELLO:
                raise OSError("it did not say hello")
        except (OSError, FormatError) as error:
            link.close()
            reason = getattr(error, "strerror", None) or error
            raise UnavailableError(f"the bus at {self.path} does not answer ({reason}); is ubusd running?") from None
        link.setblocking(False)
        self._socket, self.id = link, messages[0].peer
        self.epoch += 1
        if self._loop:
            self._watch()

    def ensure_open(self) -> None:
        """Connect again if the connection is lost, now and not after the backoff; `UnavailableError`, `StatusError`."""
        if self._socket:
            return
        if self._closed or self._opening:
            raise StatusError(Status.CONNECTION_FAILED)
        self._opening = True
        try:
            self.open()
            self.renew()
        except BaseException:
            self._drop()
            self.on_lost()  # what was renewed already went with this connection
            raise
        finally:
            self._opening = False
        if self._socket is None:
            raise StatusError(Status.CONNECTION_FAILED)

    def attach(self, loop) -> None:
        """From now on `loop` (an `isdf.loop.Loop`) serves the connection, and makes it anew when it is lost."""
        self._loop = loop
        self._work.attach(loop)
        if self._socket:
            self._watch()
        else:
            self._retry_later()

    def detach(self) -> None:
        """Undo `attach`."""
        if self._loop and self._socket:
            self._loop.watch(self._socket.fileno(), None)
        if self._retry:
            self._retry.cancel()
        self._loop = self._retry = None
        self._work.attach(None)

    def enqueue(self, callback: Callable, *args: object) -> None:
        """Have the loop call `callback(*args)`, after what came in before."""
        self._work.add(callback, *args)

    def close(self) -> None:
        """End the connection for good; nothing that is under way is answered any more."""
        self._closed = True
        if self._socket:
            # ubusd reads nothing more of a client that has gone: have it read what we said last before we go.
            try:
                self.timeout = min(self.timeout, LAST_WORDS)
                self.exchange(message.PING, 0, {})
            except StatusError:
                pass
        self._pending.clear()
        self._work.clear()
        self._drop()
        self.detach()

    def later(self, seconds: float, callback: Callable[[], None]):
        """A timer of the loop; None without one."""
        return self._loop.after(seconds, callback) if self._loop else None

    def _drop(self) -> None:
        if self._socket:
            if self._loop:
                self._loop.watch(self._socket.fileno(), None)
            self._socket.close()
            self._socket = None

    def _lost(self) -> None:
        self._drop()
        lived = time.monotonic() - self._opened
        self._backoff = BACKOFF[0] if lived > BACKOFF[1] else min(2 * self._backoff, BACKOFF[1])
        pending, self._pending = self._pending, {}
        self.on_lost()
        for _, done, _, _ in pending.values():
            done(Status.CONNECTION_FAILED, [])
        self._retry_later()

    def _retry_later(self) -> None:
        if self._loop and not self._closed and not self._retry:
            self._retry = self._loop.after(self._backoff, self._reconnect)

    def _reconnect(self) -> None:
        self._retry = None
        try:
            self.ensure_open()
        except (UnavailableError, StatusError) as error:
            log.info("%s", error)
            self._backoff = min(2 * self._backoff, BACKOFF[1])
            self._retry_later()

    # -- requests -------------------------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """A sequence number that no request under way has."""
        while True:
            self._seq = self._seq + 1 & 0xFFFF
            if self._seq not in self._pending:
                return self._seq

    def request(self, type: int, peer: int, attrs: dict, done: Done, urgent: bool = False) -> int:
        """Ask; `done(status, data messages)` at the end. `urgent`: should it come to ourselves, serve it at once."""
        seq = self.next_seq()
        data = message.pack(type, seq, peer, attrs)
        if self._socket is None:
            done(Status.CONNECTION_FAILED, [])
        else:
            self._pending[seq] = peer, done, [], urgent
            self.write(data)
        return seq

    def forget_request(self, seq: int) -> None:
        self._pending.pop(seq, None)

    def exchange(self, type: int, peer: int, attrs: dict) -> list[Message]:
        """Ask ubusd itself and wait for its answer; `StatusError` on any status but 0."""
        ended: list[tuple[int, list[Message]]] = []
        seq = self.request(type, peer, attrs, lambda status, messages: ended.append((status, messages)))
        if not self.wait(ended, self.timeout):
            self.forget_request(seq)
            raise StatusError(Status.TIMEOUT)
        status, messages = ended[0]
        if status:
            raise StatusError(status)
        return messages

    def wait(self, ended: list, timeout: float | None) -> bool:
        """Read and write until `ended` has something; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._waiting += 1
        try:
            while not ended:
                left = None if deadline is None else deadline - time.monotonic()
                if self._socket is None or (left is not None and left <= 0):
                    return False
                poll = select.poll()
                poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
                for _, events in poll.poll(None if left is None else int(left * 1000) + 1):
                    if events & select.POLLOUT:
                        self._flush()
                    if events & ~select.POLLOUT:
                        self._read()
        finally:
            self._waiting -= 1
        return True

    # -- bytes ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send when there is a connection; what the socket does not take now goes later."""
        if self._socket is None:
            return
        self._unsent += data
        self._flush()
        if self._unsent:
            if self._loop:
                self._watch()
            if len(self._unsent) > MAX_UNSENT:
                log.error("ubusd takes nothing any more; the connection is made anew")
                self._unsent.clear()
                self._socket.shutdown(socket.SHUT_RDWR)

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Gone; reading tells it, after what ubusd has sent before.
            self._unsent.clear()

    def _watch(self) -> None:
        self._loop.watch(self._socket.fileno(), self._on_readable, self._on_writable if self._unsent else None)

    def _on_writable(self) -> None:
        self._flush()
        if not self._unsent:
            self._watch()

    def _on_readable(self) -> None:
        self._work.around(self._read)

    def _read(self) -> None:
        try:
            data = self._socket.recv(32768)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        try:
            messages = self._reader.feed(data)
        except FormatError as error:
            log.error("the bus cannot be understood any more: %s", error)
            data = b""
        if data:
            for got in messages:
                self._receive(got)
        else:
            self._lost()

    def _receive(self, got: Message) -> None:
        if got.type in (message.STATUS, message.DATA):
            entry = self._pending.get(got.seq)
            if entry and entry[0] == got.peer:
                if got.type == message.DATA:
                    entry[2].append(got)
                else:
                    del self._pending[got.seq]
                    status = got.number(Attr.STATUS)
                    entry[1](Status.INVALID_ARGUMENT if status is None else status, entry[2])
        elif got.type == message.INVOKE and got.peer == self.id and self._pending.get(got.seq, (0, 0, 0, 0))[3]:
            # Our own method, called synchronously by ourselves: nobody else could answer.
            self.dispatch(got)
        elif got.type in (message.INVOKE, message.NOTIFY, message.UNSUBSCRIBE):
            if got.type == message.UNSUBSCRIBE:
                self._end_requests_to(got.number(Attr.TARGET))
            self.enqueue(self.dispatch, got)

    def _end_requests_to(self, target: int) -> None:
        """The object is gone, and ubusd will not say so to those who wait for it."""
        for seq in [seq for seq, entry in self._pending.items() if entry[0] == target]:
            self._pending.pop(seq)[1](Status.CONNECTION_FAILED, [])
