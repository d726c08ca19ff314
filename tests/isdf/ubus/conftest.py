"""Fixtures for what needs a bus."""

from openwrt.fixtures import bus, connect, loop, own_bus, until

__all__ = ["bus", "connect", "loop", "own_bus", "until"]
