"""By what our things in the kernel are told from those of others."""

from __future__ import annotations

IFB = "ifb-isdf"  # the device that all that leaves into the LANs passes
SIGNATURE = 0x15DF  # r2q of our root qdiscs: nothing else uses it here, because every class has its quantum given
PREFERENCE = 0x15DF  # of our filter in a LAN device's clsact
TABLE = "inet isdf"
DNS_TABLE = "inet isdf_dns"  # that of isdf_agent.monitor.sources.dns_tap
