"""What somebody with a shell may do to our state in the kernel, and how it is seen that it is as before."""

import re

MAP = "flow_remote4_32"
NO_RULES = "nft flush chain inet isdf up; nft flush chain inet isdf down"
PARTS = {
    "the elements of a map": f"nft flush map inet isdf {MAP}",
    "a map": f"{NO_RULES}; nft delete map inet isdf {MAP}",
    "the rules of a class": "nft flush chain inet isdf class_2",
    "a class": f"nft flush map inet isdf {MAP}; nft delete chain inet isdf class_2",
    "a counter": "nft flush chain inet isdf class_2; nft delete counter inet isdf down_2",
    "the hook": "nft delete chain inet isdf forward",
    "all rules": "nft flush table inet isdf",
}
WHOLES = {
    "the table": "nft delete table inet isdf",
    "all tables": "nft flush ruleset",
    "a map that is another one now": f"{NO_RULES}; nft delete map inet isdf {MAP}; "
    f"nft 'add map inet isdf {MAP} {{ type inet_service : verdict; }}'",
    "an element that leads elsewhere": f"nft 'add element inet isdf {MAP} {{ 192.0.2.99 : accept }}'",
    "an element with an end": "nft 'add map inet isdf flow_all { type nf_proto : verdict; flags timeout; }'; "
    "nft 'add element inet isdf flow_all { ipv4 timeout 1h : goto class_2 }'",
    "a hook that is none any more": "nft delete chain inet isdf forward; nft add chain inet isdf forward",
    "a hook that drops": "nft 'chain inet isdf forward { policy drop; }'",
}
QUEUES = {
    "the tree of the WAN": "tc qdisc del dev wan root",
    "the tree of the LANs": "tc qdisc del dev ifb-isdf root",
    "the redirection": "tc filter del dev br-lan egress",
    "the clsact": "tc qdisc del dev br-lan clsact",
    "the ifb": "ip link del ifb-isdf",
    "an ifb that is down": "ip link set ifb-isdf down",
    "a leaf": "tc qdisc del dev wan parent 1:20",
    "a rate": "tc class change dev ifb-isdf parent 1:1 classid 1:8002 htb rate 8kbit 2>/dev/null || "
    "tc class change dev ifb-isdf parent 1:1 classid 1:20 htb rate 8kbit",
}


def rules(home):
    """All that the table has, without counts and without an order."""
    text = home.router.run("nft list table inet isdf 2>/dev/null || true")
    return sorted(re.sub(r"packets \d+ bytes \d+", "", text).split())


def queues(home):
    text = home.router.run("""
        tc qdisc show; tc class show dev wan; tc class show dev ifb-isdf 2>/dev/null || true
        for d in br-lan guest; do tc filter show dev $d egress; done
        ip -br link show up dev ifb-isdf 2>/dev/null | sed 's/ .*//' || true
    """)
    # Handles of leaves and of filters, and numbers of devices, are the kernel's choice.
    text = re.sub(
        r"bfifo \S+|^\d+: |direct_\w+ \d+|leaf \S+|fh \S+|ht divisor.*|bond \d+|index \d+ .*|qlen \d+",
        "",
        text,
        flags=re.M,
    )
    return sorted(line.strip() for line in text.splitlines() if line.strip())
