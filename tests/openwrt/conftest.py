"""Fixtures for what needs a bus, a package manager or a supervisor of services."""

from openwrt.fixtures import bus, connect, loop, own_bus, until
from openwrt.opkg_fixtures import feed, opkg, router
from openwrt.procd_fixtures import procd, running

__all__ = ["bus", "connect", "feed", "loop", "opkg", "own_bus", "procd", "router", "running", "until"]
