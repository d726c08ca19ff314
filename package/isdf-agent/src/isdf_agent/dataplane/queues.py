"""Single steps on qdiscs, classes and filters by netlink, and how the kernel's answers read. Runs in the link worker.

pyroute2's own HTB parameters carry rate tables of 256 entries that kernels since 3.8 do not need, and its cake forgets
the parent; so options are built here. Reference: linux/pkt_sched.h, pkt_cls.h, rtnetlink(7).
"""

from __future__ import annotations

import errno
import os
import struct

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_DELTCLASS, RTM_NEWQDISC, RTM_NEWTCLASS
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from isdf.errors import KernelError
from isdf.value import dataclass

from .tree import MTU, ROOT, Leaf, Node

CHANGE, CREATE = 0x5, 0x605  # NLM_F_REQUEST | NLM_F_ACK, and | NLM_F_EXCL | NLM_F_CREATE
ROOT_PARENT = 0xFFFFFFFF  # TC_H_ROOT: of a qdisc that stands at the root of its device
_TICK = 64  # nanoseconds, the unit of HTB's buffers (PSCHED_SHIFT)
_MEMORY = 4 << 20  # bytes that an fq_codel may hold; its own default is half of a small router
_BESTEFFORT = 3  # CAKE_DIFFSERV_BESTEFFORT


@dataclass(frozen=True, slots=True)
class Found:
    """A class as the kernel has it, and whether packets are waiting in it."""

    node: Node
    buffers: tuple[int, int]
    queued: bool


def reason(error: NetlinkError) -> str:
    """What the kernel said, in words."""
    return f"{os.strerror(error.code)} ({errno.errorcode.get(error.code, error.code)})"


def root(ip: IPRoute, index: int):
    """The root qdisc of a device, None where it has none."""
    return next((q for q in ip.get_qdiscs(index) if q["parent"] == ROOT_PARENT), None)


def is_ours(qdisc, signature: int) -> bool:
    if qdisc is None or qdisc["handle"] != ROOT or qdisc.get_attr("TCA_KIND") != "htb":
        return False
    init = qdisc.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_INIT")
    return init is not None and init["rate2quantum"] == signature


def root_is_free(ip: IPRoute, index: int, device: str, signature: int) -> None:
    """`KernelError` if somebody gave the device a root qdisc of their own; the kernel's default has handle 0."""
    qdisc = root(ip, index)
    if qdisc is not None and qdisc["handle"] != 0 and not is_ours(qdisc, signature):
        raise KernelError(
            f"device {device} has the root qdisc {qdisc.get_attr('TCA_KIND')} {qdisc['handle'] >> 16:x}:, which is not "
            "iSDF's and is left alone; remove it (SQM?) so that classes can be made"
        )


def add_root(ip: IPRoute, index: int, default: int, signature: int) -> None:
    ip.tc("add", "htb", index, ROOT, default=default, r2q=signature)


def classes(ip: IPRoute, index: int) -> dict[int, Found]:
    """All HTB classes of a device by handle, with the queues below them."""
    leaves = {q["parent"]: _leaf(q) for q in ip.get_qdiscs(index)}
    found = {}
    for c in ip.get_classes(index):
        if c.get_attr("TCA_KIND") != "htb":
            continue
        p = c.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
        handle, parent = c["handle"], c["parent"]
        # The kernel names the root qdisc as the parent of top classes, or the root of all.
        parent = ROOT if parent == ROOT_PARENT else parent
        node = Node(handle, parent, p["rate"], p["ceil"], p["quantum"], leaves.get(handle))
        found[handle] = Found(node, (p["buffer"], p["cbuffer"]), c.get_attr("TCA_STATS")["qlen"] > 0)
    return found


def same_class(known: Found, wanted: Node) -> bool:
    """Whether nothing of the class itself differs (its leaf apart)."""
    old = known.node
    same = (old.parent, old.rate, old.ceil) == (wanted.parent, wanted.rate, wanted.ceil)
    # An inner class has no quantum of its own any more: the kernel reports 0 or what it had as a leaf.
    return same and (wanted.leaf is None or (old.quantum == wanted.quantum and known.buffers == buffers(wanted)))


def set_class(ip: IPRoute, index: int, node: Node, create: bool = False) -> None:
    """Make the class, or change it in place: its queue stays as it is."""
    buffer, cbuffer = buffers(node)
    parameters = {
        "rate": node.rate, "ceil": node.ceil, "buffer": buffer, "cbuffer": cbuffer, "quantum": node.quantum, "prio": 0,
    }  # fmt: skip
    options = {"attrs": [["TCA_HTB_PARMS", parameters]]}
    _send(ip, RTM_NEWTCLASS, CREATE if create else CHANGE, index, node.handle, node.parent, "htb", options)


def delete_class(ip: IPRoute, index: int, node: Node) -> None:
    """Delete the class with what is queued in it."""
    _send(ip, RTM_DELTCLASS, CHANGE, index, node.handle, node.parent, "htb", None)


def set_leaf(ip: IPRoute, index: int, node: Node, known: Leaf | None) -> None:
    """Give the class its queue, or change the queue's limits in place when it is of that kind already."""
    leaf = node.leaf
    if leaf.kind == "bfifo":
        options = struct.pack("=I", leaf.limit)
    elif leaf.kind == "fq_codel":
        limits = [["TCA_FQ_CODEL_LIMIT", leaf.limit], ["TCA_FQ_CODEL_MEMORY_LIMIT", _MEMORY]]
        options = {"attrs": [*limits, ["TCA_FQ_CODEL_TARGET", leaf.target]]}
    else:
        times = [["TCA_CAKE_TARGET", leaf.target], ["TCA_CAKE_RTT", max(100_000, 10 * leaf.target)]]
        options = {"attrs": [["TCA_CAKE_DIFFSERV_MODE", _BESTEFFORT], *times]}
    flags = CHANGE if known is not None and known.kind == leaf.kind else CREATE
    _send(ip, RTM_NEWQDISC, flags, index, 0, node.handle, leaf.kind, options)


def same_leaf(known: Leaf | None, wanted: Leaf | None) -> bool:
    if known is None or wanted is None:
        return known is wanted
    # The kernel keeps CoDel's times in units of 1024 ns.
    near = abs(known.target - wanted.target) <= 2 + wanted.target // 500
    return (known.kind, known.limit) == (wanted.kind, wanted.limit) and near


def probe(ip: IPRoute, ifb: int) -> str:
    """The best fair queue that this kernel takes: tried at the root of our own ifb, before anything stands there."""
    for kind in ("cake", "fq_codel"):
        try:
            _send(ip, RTM_NEWQDISC, CREATE, ifb, ROOT, ROOT_PARENT, kind, None)
        except NetlinkError:
            continue
        ip.tc("del", index=ifb, handle=ROOT, parent=ROOT_PARENT)
        return kind
    return "buckets"


def leaf_kind(ip: IPRoute, index: int, handle: int) -> str | None:
    """The kind of fair queue that the class `handle` has, None where there is no such class."""
    leaf = next((q for q in ip.get_qdiscs(index) if q["parent"] == handle), None)
    if leaf is None:
        return None
    kind = leaf.get_attr("TCA_KIND")
    return kind if kind in ("cake", "fq_codel") else "buckets"


def _leaf(qdisc) -> Leaf:
    kind, options = qdisc.get_attr("TCA_KIND"), qdisc.get_attr("TCA_OPTIONS")
    if kind == "bfifo":
        return Leaf(kind, struct.unpack("=I", bytes.fromhex(options.replace(":", ""))[:4])[0])
    if kind == "fq_codel":
        return Leaf(kind, options.get_attr("TCA_FQ_CODEL_LIMIT"), options.get_attr("TCA_FQ_CODEL_TARGET"))
    if kind == "cake":
        return Leaf(kind, target=options.get_attr("TCA_CAKE_TARGET"))
    return Leaf(kind)


def buffers(node: Node) -> tuple[int, int]:
    """Time to send the bursts, in the kernel's ticks."""

    def ticks(burst: int, rate: int) -> int:
        return min(burst * 1_000_000_000 // rate // _TICK, 0xFFFFFFFF)

    return ticks(max(MTU + 86, node.rate // 1000), node.rate), ticks(max(MTU + 86, node.ceil // 1000), node.ceil)


def _send(ip: IPRoute, kind: int, flags: int, index: int, handle: int, parent: int, name: str, options) -> None:
    message = tcmsg()
    message["index"], message["handle"], message["parent"] = index, handle, parent
    message["attrs"] = [["TCA_KIND", name]]
    if options is not None:
        message["attrs"].append(["TCA_OPTIONS", options])
    tuple(ip.nlm_request(message, msg_type=kind, msg_flags=flags))
