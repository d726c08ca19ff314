"""ubusd's own objects, for the stand-in: events (`ubus.event`), ACL queries and monitors.

Reference: openwrt/ubus `ubusd_event.c`, `ubusd_acl.c`, `ubusd_monitor.c`. They have ids and no path.
"""

import bisect

from isdf.ubus import blobmsg, message
from isdf.ubus.message import Attr, Message, Status

from . import blob
from .ubusd_acl import LISTEN, SEND, matching


class Pattern:
    """What a listener wants to hear."""

    def __init__(self, pattern: str, listener) -> None:
        self.partial = pattern.endswith("*")
        self.key, self.listener = pattern.removesuffix("*").encode(), listener


class Own:
    IDS = EVENTS, ACLS, MONITORS = 1, 2, 3
    FIRST_ID = 1024  # of the others' objects

    def __init__(self, broker) -> None:
        self.patterns: list[Pattern] = []  # sorted by key
        self.monitors: dict[object, int] = {}  # client -> sequence
        self._broker = broker
        self._event_seq, self._round = 0, 1

    def call(self, client, got: Message, method: str) -> int:
        """Serve a call of one of these objects."""
        return (self._on_events, self._on_acls, self._on_monitors)[got.number(Attr.OBJID) - 1](client, got, method)

    def forget(self, gone) -> None:
        """An object is no more, and hears nothing."""
        self.patterns = [pattern for pattern in self.patterns if pattern.listener is not gone]

    def _arguments(self, got: Message, wanted: dict[str, int]) -> list[bytes] | None:
        values = blob.find(got.attrs.get(Attr.DATA, b""), wanted)
        return None if None in values else values

    def _on_events(self, client, got: Message, method: str):
        if method == "register":
            return self._register(client, got)
        if method != "send":
            return Status.INVALID_COMMAND
        args = self._arguments(got, {"id": blobmsg.STRING, "data": blobmsg.TABLE})
        if args is None:
            return Status.INVALID_ARGUMENT
        event, data = blob.text(args[0]), args[1]
        if event.startswith("ubus.") or not self._broker.acl.allows(client.who, event, SEND):
            return Status.PERMISSION_DENIED
        self._event(client, event, data)
        return Status.OK

    def _register(self, client, got: Message):
        args = self._arguments(got, {"pattern": blobmsg.STRING, "object": blobmsg.INT32})
        if args is None:
            return Status.INVALID_ARGUMENT
        pattern, id = blob.text(args[0]), int.from_bytes(args[1], "big")
        if id < self.FIRST_ID:
            return Status.PERMISSION_DENIED
        listener = self._broker.objects.get(id)
        if not listener:
            return Status.NOT_FOUND
        allowed = pattern and self._broker.acl.allows(client.who, pattern.removesuffix("*"), LISTEN)
        if listener.client is not client or not allowed:
            return Status.PERMISSION_DENIED
        bisect.insort(self.patterns, Pattern(pattern, listener), key=lambda known: known.key)
        return Status.OK

    def _event(self, sender, event: str, body: bytes) -> None:
        self._round += 1
        for pattern in matching(self.patterns, event.encode()):
            listener = pattern.listener
            if listener.client is not sender and listener.seen != self._round:
                listener.seen = self._round
                self._event_seq += 1
                attrs = {Attr.OBJID: listener.id, Attr.METHOD: event, Attr.DATA: body}
                self._broker.send(listener.client, message.INVOKE, self._event_seq, 0, attrs)

    def object_event(self, event: str, about) -> None:
        self._event(None, event, blobmsg.encode({"id": _signed(about.id), "path": about.path}))

    def load_acl(self) -> None:
        if self._broker.acl.load():
            self._event(None, "ubus.acl.sequence", blobmsg.encode({"sequence": self._broker.acl.sequence}))

    def _on_acls(self, client, got: Message, method: str):
        if method != "query":
            return Status.INVALID_COMMAND
        found = []
        for own in reversed(self._broker.objects.values()):
            if own.client is client and own.path is not None:
                entries = [entry for entry in self._broker.acl.entries if entry.acl is not None]
                for entry in matching(entries, own.path.encode()):
                    names = {"user": entry.user, "group": entry.group}
                    found.append(
                        {"obj": own.path, **{k: v for k, v in names.items() if v is not None}, "acl": entry.acl}
                    )
        data = blobmsg.encode({"seq": self._broker.acl.sequence, "acl": found})
        self._broker.reply(client, got, {Attr.OBJID: got.number(Attr.OBJID), Attr.DATA: data})
        return Status.OK

    def _on_monitors(self, client, got: Message, method: str):
        if not client.who.root:
            return Status.PERMISSION_DENIED
        if method == "add":
            self.monitors[client] = 0
        elif method == "remove":
            self.monitors.pop(client, None)
        else:
            return Status.METHOD_NOT_FOUND
        return Status.OK

    def tell_monitors(self, client, type: int, seq: int, peer: int, attrs: dict, sent: bool) -> None:
        if not self.monitors:
            return
        body = message.pack(type, seq & 0xFFFF, peer, attrs)[12:]
        # Ids of a monitor's message: client, peer, sent or received, sequence, type, data.
        told = {0: client.id, 1: peer, 2: sent, 3: seq & 0xFFFF, 4: type, 5: body}
        for monitor in self.monitors:
            self.monitors[monitor] += 1
            monitor.send(message.pack(message.MONITOR, self.monitors[monitor] & 0xFFFF, 0, told))


def _signed(id: int) -> int:
    """A 32 bit id as the number that the bus has for it."""
    return (id ^ 0x80000000) - 0x80000000
