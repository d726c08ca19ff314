"""What a process offers on the bus: an object with methods, and the requests that come for them."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import FormatError, InvalidError, IsdfError
from ..log import Log
from . import blobmsg, message
from .message import Attr, Message, Status, StatusError

log = Log(__name__)

# The names of argument types in a method's signature. They are advertised, never enforced: the command line sends a
# number where LuCI sends text, and both are meant.
TYPES = {
    "any": blobmsg.UNSPEC, "list": blobmsg.ARRAY, "dict": blobmsg.TABLE, "str": blobmsg.STRING,
    "int64": blobmsg.INT64, "int": blobmsg.INT32, "int16": blobmsg.INT16, "bool": blobmsg.BOOL,
    "float": blobmsg.DOUBLE,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}


class Method:
    """A method of an object: `handler(request)`, and its arguments' names and types (the keys of `TYPES`)."""

    __slots__ = ("args", "handler")

    def __init__(self, handler: Callable[[Request], dict | None], args: dict[str, str] | None = None) -> None:
        self.handler, self.args = handler, args or {}


class Request:
    """One call of a method.

    `args`: what the caller sent, without the `ubus_rpc_session` that uhttpd adds; `user`, `group`: the names of the
    caller's user and group as ubusd knows them of the kernel; `peer`: the caller's connection.
    """

    __slots__ = ("_connection", "_epoch", "_object_id", "_seq", "_silent", "_state", "args", "group", "method",
                 "object", "peer", "user")  # fmt: skip

    def __init__(self, connection, served: Object, asked: Message, method: str, args: dict) -> None:
        self.object, self.method, self.args = served.path, method, args
        self.user, self.group, self.peer = asked.text(Attr.USER), asked.text(Attr.GROUP), asked.peer
        self._connection, self._epoch, self._object_id = connection, connection.epoch, served.id
        self._seq, self._silent, self._state = asked.seq, asked.flag(Attr.NO_REPLY), "new"

    def defer(self) -> None:
        """The answer comes later, by `reply` or `fail`; what the handler returns does not count."""
        self._state = "deferred"

    @property
    def answered(self) -> bool:
        return self._state == "answered"

    def reply(self, data: dict | None = None) -> None:
        """Answer with `data`, or with nothing but success. Only the first answer counts."""
        body = None
        if data is not None:
            try:
                attrs = {Attr.OBJID: self._object_id, Attr.DATA: blobmsg.encode(data)}
                body = message.pack(message.DATA, self._seq, self.peer, attrs)
            except (InvalidError, StatusError) as error:
                log.error("the answer of %s %s cannot be sent: %s", self.object, self.method, error)
                self._finish(Status.UNKNOWN_ERROR, None)
                return
        self._finish(Status.OK, body)

    def fail(self, error: StatusError | IsdfError) -> None:
        """Answer that it went wrong: a `StatusError` by its status, any other in the reply's `error`."""
        if isinstance(error, StatusError):
            self._finish(error.status, None)
        else:
            self.reply({"error": error.as_dict()})

    def _finish(self, status: int, body: bytes | None) -> None:
        # After a reconnection the caller is another client, and its request is lost with the old one.
        stale = self._state == "answered" or self._silent or self._epoch != self._connection.epoch
        self._state = "answered"
        if stale:
            return
        if body:
            self._connection.write(body)
        end = {Attr.STATUS: status, Attr.OBJID: self._object_id}
        self._connection.write(message.pack(message.STATUS, self._seq, self.peer, end))


class Object:
    """An object on the bus; made by `Connection.add`, which adds it again after each reconnection."""

    def __init__(self, connection, path: str, methods: dict[str, Method]) -> None:
        self.path, self.methods, self.id = path, methods, 0
        self.subscribers = False  # whether anybody is subscribed
        self._connection = connection

    def notify(self, type: str, data: dict | None = None) -> None:
        """Tell the subscribers; nothing happens where there are none. ubusd drops what a slow one leaves lying."""
        self._connection.write(
            message.pack(
                message.NOTIFY,
                self._connection.next_seq(),
                self.id,
                {Attr.OBJID: self.id, Attr.METHOD: type, Attr.DATA: blobmsg.encode(data or {}), Attr.NO_REPLY: True},
            )
        )

    def remove(self) -> None:
        """Take the object off the bus."""
        self._connection.forget(self)

    def register(self) -> None:
        """Make the object known to ubusd; the connection calls it, at first and when it is new."""
        signature = blobmsg.encode(
            {
                name: {arg: TYPES.get(kind, blobmsg.UNSPEC) for arg, kind in method.args.items()}
                for name, method in self.methods.items()
            }
        )
        self.subscribers = False
        try:
            self._connection.add_object(self, {Attr.OBJPATH: self.path, Attr.SIGNATURE: signature})
        except StatusError as error:
            what = f"object {self.path} was not added"
            if error.status == Status.INVALID_ARGUMENT:
                what += "; the name is taken, or this user may not publish it"
            raise StatusError(error.status, what) from None

    def on_message(self, got: Message) -> None:
        if got.type == message.NOTIFY:
            self.subscribers = got.flag(Attr.ACTIVE)
        elif got.type == message.INVOKE:
            self._invoke(got)

    def _invoke(self, got: Message) -> None:
        name = got.text(Attr.METHOD)
        request = Request(self._connection, self, got, name, {})
        method = self.methods.get(name)
        if method is None:
            request.fail(StatusError(Status.METHOD_NOT_FOUND if name else Status.INVALID_ARGUMENT))
            return
        try:
            request.args = blobmsg.decode(got.attrs[Attr.DATA])
        except (KeyError, FormatError):
            request.fail(StatusError(Status.INVALID_ARGUMENT))
            return
        request.args.pop("ubus_rpc_session", None)
        try:
            data = method.handler(request)
            if request._state == "new":
                request.reply(data)
        except IsdfError as error:
            request.fail(error)
        except Exception:
            log.exception("method %s of %s failed", name, self.path)
            request.fail(StatusError(Status.UNKNOWN_ERROR))
