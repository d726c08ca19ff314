"""Fixtures for what needs a bus or a package manager."""

from openwrt.fixtures import bus, connect, loop, own_bus, until
from openwrt.opkg_fixtures import feed, opkg, router

__all__ = ["bus", "connect", "feed", "loop", "opkg", "own_bus", "router", "until"]
