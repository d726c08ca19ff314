"""Emulated homes, ISP and Internet in network namespaces (the paper, Figure 2)."""

from .host import Host, Process, wait_until
from .premises import Premises

__all__ = ["Host", "Premises", "Process", "wait_until"]
