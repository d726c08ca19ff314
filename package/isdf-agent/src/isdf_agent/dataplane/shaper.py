"""Brings the kernel's queues to what a plan says, changing only what differs. Runs in the link worker.

*Up* is the root qdisc of the WAN device. *Down* is one ifb that the egress of every LAN device is redirected into, with
one HTB tree for all of them: nft has not run yet when a packet enters at the WAN, and a tree for each LAN device could
not share the line. What nft gave no class (from the router or another LAN) passes the ifb unshaped.

A root qdisc that somebody made (its handle is not 0, as the kernel's own default has) and that is not ours is left
alone, and the plan is refused naming it. Ours is told by its `r2q`.

Only the worker changes these queues, so it remembers what it has read and made: reading all of a tree takes longer than
changing a class in it. Where the kernel does not agree any more, everything is read anew and tried once again.

Reference: tc-htb(8), rtnetlink(7).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from isdf.errors import KernelError
from isdf.log import Log
from isdf.value import dataclass

from . import queues, redirect
from .ours import IFB, SIGNATURE
from .port import BASE
from .queues import ROOT_PARENT
from .tree import ROOT, Node, drained, leaf_handle, nodes, number_of

log = Log(__name__)
PATIENCE = 30.0  # seconds for a queue to run empty: a device that sends nothing never does

Undo = list[Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Plan:
    """`down` and `up` are the line in bit/s; `classes`: id -> (down, down_ceil, up, up_ceil), the base among them."""

    wan: str
    lan: tuple[str, ...]
    down: int
    up: int
    classes: dict[int, tuple[int, int, int, int]]


class Shaper:
    """`retiring`: by device, the ids of classes that no packet enters any more and whose queues are not empty yet, each
    with the monotonic time at which it will not be waited for any longer."""

    def __init__(self) -> None:
        self._ip = IPRoute()
        self._kind: str | None = None
        self._known: dict[int, dict[int, queues.Found]] = {}  # by device: our tree as it is
        self._redirected: set[tuple[int, int]] = set()  # LAN device and ifb
        self.retiring: dict[int, dict[int, float]] = {}

    def shape(self, plan: Plan) -> dict:
        """Make it so. The answer: `leaf`, the kind of fair queue, `missing`, LAN devices that are not there, and the
        netlink `port` that asks for the changes.

        Classes that are not in the plan go when their queues are empty (`drain`). When the kernel refuses in the
        middle, what this call has made or changed is undone, and `KernelError` raised.
        """
        try:
            return self._shape(plan)
        except KernelError:
            # What was remembered may be wrong, or a device has gone just now; nothing is remembered any more.
            return self._shape(plan)

    def _shape(self, plan: Plan) -> dict:
        wan = _index(plan.wan)
        if wan is None:
            raise KernelError(f"the WAN device {plan.wan} does not exist")
        anew, undo = not self._known, []
        try:
            if wan not in self._known:
                queues.root_is_free(self._ip, wan, plan.wan, SIGNATURE)
            ifb = self._ifb(undo)
            kind = self._leaf_kind(ifb)
            self._tree(ifb, plan.down, {i: r[:2] for i, r in plan.classes.items()}, kind, 0, undo)
            self._tree(wan, plan.up, {i: r[2:] for i, r in plan.classes.items()}, kind, leaf_handle(BASE), undo)
            missing = [name for name in plan.lan if not self._redirect(name, ifb, undo)]
            if anew:
                self._leave({wan, ifb}, {i for i, _ in self._redirected})
        except NetlinkError as error:
            self._back(undo)
            raise KernelError(f"the kernel refused the queues: {queues.reason(error)}") from None
        except KernelError:
            self._back(undo)
            raise
        self.drain()
        return {"leaf": kind, "missing": missing, "port": self._ip.getsockname()[0]}

    def drain(self) -> None:
        """Delete the retiring classes whose queues are empty by now."""
        for index, numbers in list(self.retiring.items()):
            found = self._known[index] = queues.classes(self._ip, index)
            for number, until in list(numbers.items()):
                own = [c for h, c in found.items() if number_of(h) == number]
                if not any(c.queued for c in own) or time.monotonic() > until:
                    for c in sorted(own, key=lambda c: c.node.handle & 0x8000):  # leaves before their inner class
                        queues.delete_class(self._ip, index, c.node)
                        del found[c.node.handle]
                    del numbers[number]
            if not numbers:
                del self.retiring[index]

    def teardown(self) -> dict:
        """Remove the trees, the redirections and the ifb, on whatever devices they are."""
        self.forget()
        self._leave(set(), set())
        ifb = _index(IFB)
        if ifb is not None:
            self._ip.link("del", index=ifb)
        self.retiring.clear()
        return {}

    def close(self) -> None:
        self._ip.close()

    def forget(self) -> None:
        """Somebody else may have changed something: the next plan reads all of it anew."""
        self._known.clear()
        self._redirected.clear()
        self._kind = None

    def _ifb(self, undo: Undo) -> int:
        index = _index(IFB)
        if index is None:
            self._ip.link("add", ifname=IFB, kind="ifb", txqlen=1000)
            index = _index(IFB)
            undo.append(lambda: self._ip.link("del", index=index))
        if index not in self._known:
            self._ip.link("set", index=index, state="up")
        return index

    def _leaf_kind(self, ifb: int) -> str:
        """What stands below the base class already, else the best that this kernel takes."""
        if self._kind is None:
            self._kind = queues.leaf_kind(self._ip, ifb, leaf_handle(BASE)) or queues.probe(self._ip, ifb)
        return self._kind

    def _tree(self, index: int, line: int, classes: dict, kind: str, default: int, undo: Undo) -> None:
        found = self._known.get(index)
        if found is None:
            if not queues.is_ours(queues.root(self._ip, index), SIGNATURE):
                queues.add_root(self._ip, index, default & 0xFFFF, SIGNATURE)
                undo.append(lambda: self._delete_root(index))
            found = self._known[index] = queues.classes(self._ip, index)
        wanted = {node.handle: node for node in nodes(line, classes, kind)}
        for handle, node in wanted.items():
            self._node(index, found.get(handle), node, undo)
            found[handle] = queues.Found(node, queues.buffers(node), False)
        leaving = {number_of(h) for h in found if h not in wanted}
        if not leaving:
            self.retiring.pop(index, None)
            return
        # What goes may have packets queued: they may use whatever the line has to spare.
        found = self._known[index] = queues.classes(self._ip, index)
        for handle, c in found.items():
            if handle not in wanted and c.queued:
                queues.set_class(self._ip, index, drained(c.node, line))
        until = time.monotonic() + PATIENCE
        before = self.retiring.get(index, {})
        self.retiring[index] = {number: before.get(number, until) for number in leaving}

    def _node(self, index: int, known: queues.Found | None, node: Node, undo: Undo) -> None:
        """Make or change one class and its queue, whatever differs."""
        ip = self._ip
        if known is None:
            queues.set_class(ip, index, node, create=True)
            undo.append(lambda: queues.delete_class(ip, index, node))
        elif not queues.same_class(known, node):
            queues.set_class(ip, index, node)
            undo.append(lambda: queues.set_class(ip, index, known.node))
        leaf = known.node.leaf if known else None
        if node.leaf and not queues.same_leaf(leaf, node.leaf):
            queues.set_leaf(ip, index, node, leaf)
            if leaf:
                undo.append(lambda: queues.set_leaf(ip, index, known.node, leaf))

    def _redirect(self, name: str, ifb: int, undo: Undo) -> bool:
        index = _index(name)
        if index is None:
            return False
        if (index, ifb) not in self._redirected:
            if redirect.redirect(self._ip, index, name, ifb):
                undo.append(lambda: redirect.remove(self._ip, index))
            self._redirected.add((index, ifb))
        return True

    def _leave(self, trees: set[int], redirected: set[int]) -> None:
        """Remove our trees and redirections from all devices but these: one was the WAN, or a LAN, before."""
        for qdisc in list(self._ip.get_qdiscs()):
            index = qdisc["index"]
            if qdisc["handle"] == redirect.CLSACT and index not in redirected:
                redirect.remove(self._ip, index)
            elif qdisc["parent"] == ROOT_PARENT and index not in trees and queues.is_ours(qdisc, SIGNATURE):
                self._delete_root(index)

    def _delete_root(self, index: int) -> None:
        self._ip.tc("del", index=index, handle=ROOT, parent=ROOT_PARENT)

    def _back(self, undo: Undo) -> None:
        self.forget()
        for step in reversed(undo):
            try:
                step()
            except NetlinkError as error:
                log.error("a step back was refused: %s", queues.reason(error))


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
