"""The egress of a LAN device redirected into our ifb, by netlink. Runs in the link worker.

A `clsact` that is there already is shared with whoever made it; our filter is told by its preference. It is a u32 that
matches everything, because small kernels have no matchall. Reference: tc-u32(8), tc-mirred(8), linux/pkt_cls.h.
"""

from __future__ import annotations

from pyroute2.iproute.linux import IPRoute

from isdf.errors import KernelError

from .ours import PREFERENCE

CLSACT, INGRESS, EGRESS = 0xFFFF0000, 0xFFFFFFF2, 0xFFFFFFF3
_ETH_P_ALL = 3


def redirect(ip: IPRoute, index: int, device: str, ifb: int) -> bool:
    """Redirect what leaves through `index` into `ifb`. The answer: whether anything was changed."""
    held = [q for q in ip.get_qdiscs(index) if q["handle"] == CLSACT]
    if held and held[0].get_attr("TCA_KIND") != "clsact":
        raise KernelError(
            f"device {device} has the qdisc {held[0].get_attr('TCA_KIND')}, which is not iSDF's and is left alone; "
            "remove it, or make it a clsact, so that classes can be made"
        )
    if not held:
        ip.tc("add", "clsact", index)
    target = _target(ip, index)
    if target == ifb:
        return False
    if target is not None:  # to an ifb that is gone
        _delete(ip, index)
    action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": ifb}
    ip.tc("add-filter", "u32", index, parent=EGRESS, prio=PREFERENCE, protocol=_ETH_P_ALL, target=0,
          keys=["0x0/0x0+0"], action=action)  # fmt: skip
    return True


def remove(ip: IPRoute, index: int) -> None:
    """Undo `redirect` where it was done; the clsact goes too when nobody has filters in it."""
    if _target(ip, index) is None:
        return
    _delete(ip, index)
    has_clsact = any(q.get_attr("TCA_KIND") == "clsact" for q in ip.get_qdiscs(index))
    if has_clsact and not any(ip.get_filters(index, parent=parent) for parent in (INGRESS, EGRESS)):
        ip.tc("del", "clsact", index)


def _delete(ip: IPRoute, index: int) -> None:
    ip.tc("del-filter", index=index, parent=EGRESS, info=PREFERENCE << 16)


def _target(ip: IPRoute, index: int) -> int | None:
    """Where our filter sends packets: the index of a device, 0 if it is gone; None where there is no such filter."""
    found = None
    for f in ip.get_filters(index, parent=EGRESS):
        if f["info"] >> 16 != PREFERENCE:
            continue
        found = 0 if found is None else found
        options = f.get_attr("TCA_OPTIONS")
        actions = options.get_attr("TCA_U32_ACT") if hasattr(options, "get_attr") else None
        if actions is not None:
            parameters = actions.get_attr("TCA_ACT_PRIO_1").get_attr("TCA_ACT_OPTIONS").get_attr("TCA_MIRRED_PARMS")
            found = parameters["ifindex"]
    return found
