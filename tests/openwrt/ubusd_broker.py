"""What the stand-in ubusd does with a message: objects, calls, subscriptions. No sockets.

Reference: openwrt/ubus `ubusd_proto.c`, `ubusd_obj.c`. Each request is answered by
a status; a call that is passed on is answered by the object.
"""

import os

from isdf.ubus import message
from isdf.ubus.message import Attr, Message, Status

from . import blob
from .ubusd_acl import ACCESS, PUBLISH, SUBSCRIBE, Acl
from .ubusd_own import Own

FORWARDED = object()  # instead of a status: somebody else answers, or nobody
MAX_LENGTH = (1 << 24) - 1  # what the 24 bits of a length can say: what is passed on is not measured again
LATER = object()  # instead of a status: answered when the client has read what is under way to it


class Object:
    def __init__(self, id: int, client, type_id: int | None) -> None:
        self.id, self.client, self.type_id = id, client, type_id
        self.path: str | None = None
        self.subscribers: list[Object] = []  # the newest first
        self.targets: list[Object] = []
        self.seq = self.seen = 0


class Broker:
    """`join`, `receive` and `leave` for each client; a client has `id`, `who` (Credentials), `send`, `blocked`."""

    def __init__(self, acl: Acl) -> None:
        self.acl = acl
        self.clients: dict[int, object] = {}
        self.objects: dict[int, Object] = {id: Object(id, None, None) for id in Own.IDS}
        self.paths: dict[str, Object] = {}
        self.types: dict[int, tuple[list[int], list]] = {}  # id -> [number of objects], methods
        self.own = Own(self)
        self._handlers = {
            message.PING: self._ping, message.LOOKUP: self.lookup, message.INVOKE: self._invoke,
            message.ADD_OBJECT: self._add_object, message.REMOVE_OBJECT: self._remove_object,
            message.STATUS: self._response, message.DATA: self._response, message.NOTIFY: self._notify,
            message.SUBSCRIBE: self._subscribe, message.UNSUBSCRIBE: self._unsubscribe,
        }  # fmt: skip

    # -- clients ----------------------------------------------------------------------------------------------------

    def join(self, client) -> None:
        client.id = new_id(self.clients)
        self.clients[client.id] = client
        self.send(client, message.HELLO, 0, client.id, {})

    def leave(self, client) -> None:
        self.own.monitors.pop(client, None)
        for found in [found for found in self.objects.values() if found.client is client][::-1]:
            self._free(found)
        del self.clients[client.id]

    def receive(self, client, got: Message) -> None:
        self.own.tell_monitors(client, got.type, got.seq, got.peer, got.attrs, sent=False)
        handler = self._handlers.get(got.type)
        status = handler(client, got) if handler else Status.INVALID_COMMAND
        if status is not FORWARDED and status is not LATER:
            self.answer(client, got, status)

    def answer(self, client, asked: Message, status: int) -> None:
        self.send(client, message.STATUS, asked.seq, asked.peer, {Attr.STATUS: status})

    def send(self, client, type: int, seq: int, peer: int, attrs: dict) -> None:
        self.own.tell_monitors(client, type, seq, peer, attrs, sent=True)
        client.send(message.pack(type, seq & 0xFFFF, peer, attrs, largest=MAX_LENGTH))

    def reply(self, client, asked: Message, attrs: dict) -> None:
        self.send(client, message.DATA, asked.seq, asked.peer, attrs)

    # -- objects ----------------------------------------------------------------------------------------------------

    def _ping(self, client, got: Message):
        self.reply(client, got, got.attrs)
        return Status.OK

    def _add_object(self, client, got: Message):
        type_id = got.number(Attr.OBJTYPE)
        if type_id is None and Attr.SIGNATURE in got.attrs:
            type_id = self._new_type(got.attrs[Attr.SIGNATURE])
        elif type_id not in self.types:
            type_id = None
        path = got.text(Attr.OBJPATH)
        if path is not None and (path in self.paths or not self.acl.allows(client.who, path, PUBLISH)):
            return Status.INVALID_ARGUMENT
        added = Object(new_id(self.objects), client, type_id)
        self.objects[added.id] = added
        if type_id is not None:
            self.types[type_id][0][0] += 1
        if path is not None:
            added.path = path
            self.paths[path] = added
            self.own.object_event("ubus.object.add", added)
        shown = type_id if Attr.SIGNATURE in got.attrs else None
        self.reply(client, got, {Attr.OBJID: added.id, Attr.OBJTYPE: shown})
        return Status.OK

    def _new_type(self, signature: bytes) -> int | None:
        methods = blob.methods(signature)
        if methods is None:
            return None
        type_id = new_id(self.types)
        self.types[type_id] = [0], methods
        return type_id

    def _remove_object(self, client, got: Message):
        id = got.number(Attr.OBJID)
        if id is None:
            return Status.INVALID_ARGUMENT
        found = self.objects.get(id)
        if not found:
            return Status.NOT_FOUND
        if found.client is not client:
            return Status.PERMISSION_DENIED
        last = found.type_id is not None and self.types[found.type_id][0] == [1]
        self.reply(client, got, {Attr.OBJID: found.id, Attr.OBJTYPE: found.type_id if last else None})
        self._free(found)
        return Status.OK

    def _free(self, gone: Object) -> None:
        for target in list(gone.targets):
            self._end_subscription(gone, target)
        for subscriber in list(gone.subscribers):
            subscriber.seq += 1
            attrs = {Attr.OBJID: subscriber.id, Attr.TARGET: gone.id}
            self.send(subscriber.client, message.UNSUBSCRIBE, subscriber.seq, 0, attrs)
            self._end_subscription(subscriber, gone)
        self.own.forget(gone)
        if gone.path is not None:
            self.own.object_event("ubus.object.remove", gone)
            del self.paths[gone.path]
        del self.objects[gone.id]
        if gone.type_id is not None:
            count, _ = self.types[gone.type_id]
            count[0] -= 1
            if not count[0]:
                del self.types[gone.type_id]

    def lookup(self, client, got: Message, after: str | None = None):
        """Send what is asked for. All objects go one by one; the rest waits (`LATER`) while the client is blocked."""
        if client.blocked:
            client.wait_for_room(got, after)
            return LATER
        path = got.text(Attr.OBJPATH)
        if path is None:
            for name in sorted(self.paths, key=str.encode):
                if after is None or name.encode() > after.encode():
                    if client.blocked:
                        client.wait_for_room(got, after)
                        return LATER
                    self._send_object(client, got, self.paths[name])
                    after = name
            return Status.OK
        if not path:
            return Status.INVALID_ARGUMENT
        if path.endswith("*"):
            names = sorted((name for name in self.paths if name.startswith(path[:-1])), key=str.encode)
        else:
            names = [path] if path in self.paths else []
        for name in names:
            self._send_object(client, got, self.paths[name])
        return Status.OK if names else Status.NOT_FOUND

    def _send_object(self, client, got: Message, found: Object) -> None:
        if found.type_id is None:
            return
        methods = self.types[found.type_id][1]
        seen = [element for name, element in methods if self.acl.allows(client.who, found.path, ACCESS, name)]
        if seen or not methods:
            self.reply(
                client,
                got,
                {
                    Attr.OBJPATH: found.path,
                    Attr.OBJID: found.id,
                    Attr.OBJTYPE: found.type_id,
                    Attr.SIGNATURE: b"".join(seen),
                },
            )

    # -- calls ------------------------------------------------------------------------------------------------------

    def _invoke(self, client, got: Message):
        method, id = got.text(Attr.METHOD), got.number(Attr.OBJID)
        if method is None or id is None:
            return Status.INVALID_ARGUMENT
        called = self.objects.get(id)
        if not called:
            return Status.NOT_FOUND
        if not called.client:
            return self.own.call(client, got, method)
        if not self.acl.allows(client.who, called.path, ACCESS, method):
            return Status.PERMISSION_DENIED
        self._forward(client, called, method, got)
        return FORWARDED

    def _forward(self, client, called: Object, method: str, got: Message, silent: bool | None = None) -> None:
        attrs = {
            Attr.NO_REPLY: silent, Attr.OBJID: called.id, Attr.METHOD: method, Attr.USER: client.who.user,
            Attr.GROUP: client.who.group, Attr.DATA: got.attrs.get(Attr.DATA),
        }  # fmt: skip
        self.send(called.client, message.INVOKE, got.seq, client.id, attrs)

    def _response(self, client, got: Message):
        asked = self.objects.get(got.number(Attr.OBJID))
        caller = self.clients.get(got.peer)
        whole = got.number(Attr.STATUS) is not None if got.type == message.STATUS else Attr.DATA in got.attrs
        if asked and asked.client is client and caller and whole:
            self.send(caller, got.type, got.seq, asked.id, got.attrs)
        return FORWARDED

    def _notify(self, client, got: Message):
        method, told = got.text(Attr.METHOD), self.objects.get(got.number(Attr.OBJID))
        if method is None or got.number(Attr.OBJID) is None:
            return Status.INVALID_ARGUMENT
        if not told:
            return Status.NOT_FOUND
        if told.client is not client:
            return Status.PERMISSION_DENIED
        silent = got.attrs.get(Attr.NO_REPLY, b"")[:1] > b"\0"
        if not silent:
            ids = b"".join(b"\0\0\0\x08" + found.id.to_bytes(4, "big") for found in told.subscribers)
            attrs = {Attr.OBJID: told.id, Attr.SUBSCRIBERS: ids, Attr.STATUS: 0}
            self.send(client, message.STATUS, got.seq, got.peer, attrs)
        for subscriber in list(told.subscribers):
            self._forward(client, subscriber, method, got, silent or None)
        return FORWARDED

    # -- subscriptions ----------------------------------------------------------------------------------------------

    def _pair(self, client, got: Message) -> tuple[Object | None, Object | None, int]:
        if got.number(Attr.OBJID) is None or Attr.TARGET not in got.attrs:
            return None, None, Status.INVALID_ARGUMENT
        # ubusd does not look how long this attribute is.
        wanted = int.from_bytes(got.attrs[Attr.TARGET][:4], "big")
        subscriber, target = self.objects.get(got.number(Attr.OBJID)), self.objects.get(wanted)
        if not subscriber:
            return None, None, Status.NOT_FOUND
        return subscriber, target, Status.OK if subscriber.client is client else Status.INVALID_ARGUMENT

    def _subscribe(self, client, got: Message):
        subscriber, target, status = self._pair(client, got)
        if status:
            return status
        if not target or not target.client:
            return Status.NOT_FOUND
        if target.client is client:
            return Status.INVALID_ARGUMENT
        me, other = client.who, target.client.who
        if target.path is None:
            allowed = me.user == other.user or me.group == other.group
        else:
            allowed = self.acl.allows(me, target.path, SUBSCRIBE)
        if not allowed:
            return Status.NOT_FOUND
        first = not target.subscribers
        target.subscribers.insert(0, subscriber)
        subscriber.targets.insert(0, target)
        if first:
            self._tell_whether_subscribed(target)
        return Status.OK

    def _unsubscribe(self, client, got: Message):
        subscriber, target, status = self._pair(client, got)
        if status:
            return status
        if target not in subscriber.targets:
            return Status.NOT_FOUND
        self._end_subscription(subscriber, target)
        return Status.OK

    def _end_subscription(self, subscriber: Object, target: Object) -> None:
        target.subscribers.remove(subscriber)
        subscriber.targets.remove(target)
        if not target.subscribers:
            self._tell_whether_subscribed(target)

    def _tell_whether_subscribed(self, target: Object) -> None:
        target.seq += 1
        attrs = {Attr.OBJID: target.id, Attr.ACTIVE: bool(target.subscribers)}
        self.send(target.client, message.NOTIFY, target.seq, 0, attrs)


def new_id(taken: dict) -> int:
    while True:
        id = int.from_bytes(os.urandom(4), "big")
        if id >= Own.FIRST_ID and id not in taken:
            return id
