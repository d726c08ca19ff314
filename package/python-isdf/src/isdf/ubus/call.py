"""One call of a method: find the object, invoke it, once more if the object is another one by now."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import FormatError
from . import blobmsg, message
from .message import Attr, Message, Status


class Call:
    """A call under way; `finish(status, reply)` is called exactly once, unless it is cancelled before."""

    __slots__ = ("_asked", "_body", "_connection", "_finish", "_method", "_seq", "_urgent", "path", "timer")

    def __init__(
        self,
        connection,
        path: str,
        method: str,
        args: dict | None,
        finish: Callable[[int, dict], None],
        urgent: bool = False,
    ) -> None:
        self.path, self.timer = path, None
        self._connection, self._method, self._body = connection, method, blobmsg.encode(args or {})
        self._finish, self._urgent, self._seq, self._asked = finish, urgent, 0, 0

    def start(self) -> None:
        target = self._connection.ids.get(self.path)
        if target is None:
            self._find()
        else:
            self._invoke(target)

    def cancel(self) -> None:
        """Forget the call; its answer is passed over."""
        if self.timer:
            self.timer.cancel()
        self._connection.forget_request(self._seq)

    def _find(self) -> None:
        self._seq = self._connection.request(message.LOOKUP, 0, {Attr.OBJPATH: self.path}, self._found)

    def _found(self, status: int, messages: list[Message]) -> None:
        # Success without an object: it is there, with nothing that this user may call.
        target = messages[0].number(Attr.OBJID) if messages else None
        if status == Status.OK and target is None:
            status = Status.PERMISSION_DENIED
        if status == Status.OK and target == self._asked:
            status = Status.NOT_FOUND  # the answer of the object itself, a moment ago
        if status:
            self._finish(status, {})
            return
        self._connection.ids[self.path] = target
        self._invoke(target)

    def _invoke(self, target: int) -> None:
        attrs = {Attr.OBJID: target, Attr.METHOD: self._method, Attr.DATA: self._body}
        first, self._asked = not self._asked, target
        done = self._answered if first else self._answered_again
        self._seq = self._connection.request(message.INVOKE, target, attrs, done, self._urgent)

    def _answered(self, status: int, messages: list[Message]) -> None:
        # ubusd knows no such object: what we remember of the path may be outdated, so look whether it has another.
        if status == Status.NOT_FOUND and self._connection.ids.pop(self.path, None):
            self._find()
        else:
            self._answered_again(status, messages)

    def _answered_again(self, status: int, messages: list[Message]) -> None:
        reply = {}
        try:
            for got in messages:
                reply.update(blobmsg.decode(got.attrs.get(Attr.DATA, b"")))
        except FormatError:
            status = status or Status.PARSE_ERROR
        self._finish(status, {} if status else reply)
