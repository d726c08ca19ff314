"""What a process hears on the bus: events by their name, and notifications of an object that comes and goes."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import FormatError
from ..log import Log
from . import blobmsg, message
from .message import Attr, Message, Status, StatusError

log = Log(__name__)

LOOK_AGAIN = 1.0  # seconds between two looks for an object, for a user that may not listen to its coming


def read(got: Message) -> tuple[str, dict] | None:
    """Name and data of an event or a notification; None for one that is malformed."""
    name = got.text(Attr.METHOD)
    try:
        return (name, blobmsg.decode(got.attrs.get(Attr.DATA, b""))) if name else None
    except FormatError as error:
        log.warning("%s on the bus was passed over: %s", name, error)
        return None


class Listener:
    """`callback(event, data)` for each event that fits `pattern`; an object of its own on the bus, without a name."""

    def __init__(self, connection, pattern: str, callback: Callable[[str, dict], None]) -> None:
        self.pattern, self.callback, self.id = pattern, callback, 0
        self._connection = connection

    def register(self) -> None:
        connection = self._connection
        connection.add_object(self, {})
        # The id has 32 bits without a sign, the number on the bus has one.
        wanted = {"object": (self.id ^ 0x80000000) - 0x80000000, "pattern": self.pattern}
        try:
            connection.event("register", wanted)
        except StatusError as error:
            connection.remove_object(self)
            raise StatusError(error.status, f"listening to {self.pattern}") from None

    def on_message(self, got: Message) -> None:
        if got.type == message.INVOKE and (event := read(got)):
            self.callback(*event)

    def remove(self) -> None:
        """Listen no longer."""
        self._connection.forget(self)


class Subscription:
    """`callback(type, data)` for each notification of the object at `path`, whenever there is one.

    `present` tells whether it is there; `on_change(present)` is called when that changes. Calls that are under way to
    the object when it goes end at once, with status CONNECTION_FAILED.
    """

    def __init__(self, connection, path: str, callback, on_change: Callable[[bool], None] | None) -> None:
        self.path, self.callback, self.on_change = path, callback, on_change
        self.id, self.target, self.present = 0, 0, False
        self._connection, self._timer, self._refused = connection, None, False

    def register(self) -> None:
        connection = self._connection
        connection.add_object(self, {})
        connection.watch_objects()
        self.look()

    def look(self) -> None:
        """Subscribe if the object is there."""
        connection = self._connection
        self._timer = None
        if self.present or not connection.connected:
            return
        try:
            target = connection.find(self.path)
        except StatusError:
            target = None  # the connection is lost, or about to be
        if target is not None and self.found(target):
            return
        if not connection.hears_objects:
            self._timer = connection.later(LOOK_AGAIN, self.look)

    def found(self, target: int) -> bool:
        """The object is there as `target`: subscribe to it. False if that did not succeed."""
        if self.present:
            return True
        try:
            self._connection.exchange(message.SUBSCRIBE, 0, {Attr.OBJID: self.id, Attr.TARGET: target})
        except StatusError as error:
            if not self._refused and error.status != Status.CONNECTION_FAILED:
                log.warning("cannot subscribe to %s; it went, or this user's ACL lacks it: %s", self.path, error)
            self._refused = True
            return False
        self._refused = False
        self.target = target
        self._changed(True)
        return True

    def on_message(self, got: Message) -> None:
        if got.type == message.INVOKE:
            if event := read(got):
                self.callback(*event)
                if not got.flag(Attr.NO_REPLY):
                    answer = {Attr.STATUS: 0, Attr.OBJID: self.id}
                    self._connection.write(message.pack(message.STATUS, got.seq, got.peer, answer))
        elif got.type == message.UNSUBSCRIBE and got.number(Attr.TARGET) == self.target:
            self.lost()
            # It may be back already, added before we were told that it went.
            self.look()

    def lost(self) -> None:
        self.target = 0
        if self.present:
            self._changed(False)

    def remove(self) -> None:
        """Hear no longer."""
        if self._timer:
            self._timer.cancel()
        self._connection.forget(self)

    def _changed(self, present: bool) -> None:
        self.present = present
        if self.on_change:
            self._connection.enqueue(self.on_change, present)
