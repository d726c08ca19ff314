"""A connection to OpenWrt's bus: calls, objects, events, subscriptions; all of it again after ubusd was away."""

from __future__ import annotations

from collections.abc import Callable

from . import blobmsg, message
from .call import Call
from .heard import Listener, Subscription
from .link import Link
from .message import Attr, Message, Status, StatusError
from .served import TYPE_NAMES, Method, Object


def connect(path: str = "/var/run/ubus/ubus.sock", timeout: float = 5.0) -> Connection:
    """Connect to ubusd; `timeout` (seconds) holds for this and for all that is asked of ubusd itself.

    `UnavailableError` when it does not answer.
    """
    connection = Connection(path, timeout)
    connection.open()
    return connection


class Connection(Link):
    """Made by `connect`. Objects and callbacks are served from `attach(loop)` on; `call` works without, too.

    A lost connection is made anew by the loop, with a growing pause between two attempts, or by the next `call`; then
    objects, listeners and subscriptions are there again.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(path, timeout)
        self.hears_objects = False  # whether we are told of new objects
        self.ids: dict[str, int] = {}  # path -> object id, as far as known
        self._parts: list[Object | Listener | Subscription] = []
        self._by_id: dict[int, Object | Listener | Subscription] = {}

    def call(self, path: str, method: str, args: dict | None = None, timeout: float | None = 30.0) -> dict:
        """Call `method` of the object at `path` and wait for the answer ({} where it has none).

        `StatusError` on any status but 0, TIMEOUT after `timeout` seconds and CONNECTION_FAILED when ubusd or the
        object went (see `call_async`) among them; `UnavailableError` when there is no ubusd.
        """
        self.ensure_open()
        ended: list[tuple[int, dict]] = []
        call = Call(self, path, method, args, lambda status, reply: ended.append((status, reply)), urgent=True)
        call.start()
        if not self.wait(ended, timeout):
            call.cancel()
            raise StatusError(Status.TIMEOUT, f"{path} {method}")
        status, reply = ended[0]
        if status:
            raise StatusError(status, f"{path} {method}")
        return reply

    def call_async(
        self,
        path: str,
        method: str,
        args: dict | None,
        done: Callable[[int, dict], None],
        timeout: float | None = 30.0,
    ) -> Call:
        """Call and go on; the loop calls `done(status, reply)` at the end. `timeout` None: wait for ever.

        The status is CONNECTION_FAILED when ubusd went, or the object did and we are subscribed to it (nobody else is
        told). `cancel()` of what is returned forgets the call. Needs a loop.
        """
        if self._loop is None:
            raise RuntimeError("an asynchronous call needs a connection that is attached to a loop")

        def finish(status: int, reply: dict) -> None:
            if call.timer:
                call.timer.cancel()
            self.enqueue(done, status, reply)

        def expire() -> None:
            call.cancel()
            done(Status.TIMEOUT, {})

        call = Call(self, path, method, args, finish)
        call.timer = None if timeout is None else self.later(timeout, expire)
        call.start()
        return call

    def add(self, path: str, methods: dict[str, Method]) -> Object:
        """Offer an object on the bus; `StatusError` INVALID_ARGUMENT if the name is taken or not allowed."""
        return self._register(Object(self, path, methods))

    def listen(self, pattern: str, callback: Callable[[str, dict], None]) -> Listener:
        """Call `callback(event, data)` for each event of this name, or that begins so where a `*` ends it."""
        return self._register(Listener(self, pattern, callback))

    def send(self, event: str, data: dict | None = None) -> None:
        """Send an event to all that listen; `StatusError` PERMISSION_DENIED where the ACL does not allow it."""
        try:
            self.event("send", {"id": event, "data": data or {}})
        except StatusError as error:
            raise StatusError(error.status, f"event {event}") from None

    def subscribe(
        self,
        path: str,
        callback: Callable[[str, dict], None],
        on_change: Callable[[bool], None] | None = None,
    ) -> Subscription:
        """Call `callback(type, data)` for the notifications of the object at `path`, now and when it comes (back).

        `on_change(present)` follows its coming and going, the first time when it is there. Without the right to listen
        to `ubus.object.add` its coming is looked for each second.
        """
        return self._register(Subscription(self, path, callback, on_change))

    def objects(self, pattern: str = "*") -> dict[str, dict[str, dict[str, str]]]:
        """What is on the bus for this user, path -> method -> argument -> type; a `*` may end the pattern."""
        found = {}
        for got in self._lookup(pattern):
            methods = {}
            for method, args in blobmsg.decode(got.attrs.get(Attr.SIGNATURE, b"")).items():
                if isinstance(args, dict):
                    methods[method] = {arg: TYPE_NAMES.get(kind, "any") for arg, kind in args.items()}
            found[got.text(Attr.OBJPATH)] = methods
        return found

    def attach(self, loop) -> None:
        super().attach(loop)
        for part in self._parts:
            if isinstance(part, Subscription) and not part.present:
                self.enqueue(part.look)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for the parts --------------------------------------------------------------------------------------------

    def add_object(self, part: Object | Listener | Subscription, attrs: dict) -> None:
        """Have ubusd make an object; what comes for it goes to `part`."""
        part.id = self.exchange(message.ADD_OBJECT, 0, attrs)[0].number(Attr.OBJID)
        self._by_id[part.id] = part

    def remove_object(self, part: Object | Listener | Subscription) -> None:
        """Undo `add_object`."""
        if self._by_id.pop(part.id, None) and self.connected:
            self.exchange(message.REMOVE_OBJECT, 0, {Attr.OBJID: part.id})
        part.id = 0

    def event(self, method: str, args: dict) -> None:
        """Call ubusd's event object."""
        self.ensure_open()
        attrs = {Attr.OBJID: message.EVENT_OBJECT, Attr.METHOD: method, Attr.DATA: blobmsg.encode(args)}
        self.exchange(message.INVOKE, message.EVENT_OBJECT, attrs)

    def find(self, path: str) -> int | None:
        """The id of the object at `path`; None if there is none for this user."""
        found = self._lookup(path)
        return found[0].number(Attr.OBJID) if found else None

    def watch_objects(self) -> None:
        """Hear of new objects, if the ACL lets us."""
        if self.hears_objects:
            return
        try:
            Listener(self, "ubus.object.add", self._on_object).register()
            self.hears_objects = True
        except StatusError as error:
            if error.status != Status.PERMISSION_DENIED:
                raise

    def renew(self) -> None:
        for part in self._parts:
            part.register()

    def on_lost(self) -> None:
        self.ids.clear()
        self._by_id.clear()
        self.hears_objects = False
        for part in self._parts:
            part.id = 0
            if isinstance(part, Subscription):
                part.lost()

    def dispatch(self, got: Message) -> None:
        part = self._by_id.get(got.number(Attr.OBJID))
        if part:
            part.on_message(got)

    def forget(self, part: Object | Listener | Subscription) -> None:
        """Take a part off the bus."""
        if part in self._parts:
            self._parts.remove(part)
            self.remove_object(part)

    def _register(self, part):
        self.ensure_open()
        part.register()
        self._parts.append(part)
        return part

    def _lookup(self, pattern: str) -> list[Message]:
        self.ensure_open()
        try:
            return self.exchange(message.LOOKUP, 0, {Attr.OBJPATH: pattern})
        except StatusError as error:
            if error.status == Status.NOT_FOUND:
                return []
            raise StatusError(error.status, f"looking for {pattern}") from None

    def _on_object(self, _: str, data: dict) -> None:
        for part in list(self._parts):
            if isinstance(part, Subscription) and part.path == data.get("path") and not part.present:
                part.found((data.get("id") or 0) & 0xFFFFFFFF)
