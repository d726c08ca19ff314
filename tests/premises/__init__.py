"""Emulated homes, ISP and Internet in network namespaces (the paper, Figure 2)."""
