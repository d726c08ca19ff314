"""How to start each part of OpenWrt: the stand-in beside this file, or the real one below OPENWRT_ROOT.

What runs never depends on what happens to be installed, only on that variable.
"""

import os
import sys
from pathlib import Path

_REAL = {"ubusd": "sbin/ubusd", "ubus": "bin/ubus", "opkg": "bin/opkg", "usign": "bin/usign"}
_STAND_INS = {"ubusd": "ubusd.py", "ubus": "ubus.py", "procd": "procd.py", "opkg": "opkg", "usign": "usign.py"}


def program(name: str) -> list[str]:
    """The words that start the part `name` as the environment says; the caller's arguments follow."""
    root = os.environ.get("OPENWRT_ROOT")
    return real(name, root) if root and name in _REAL else stand_in(name)


def stand_in(name: str) -> list[str]:
    """The words that start the stand-in for `name`: the standard library alone, so that it starts in milliseconds."""
    return [sys.executable, "-IS", str(Path(__file__).parent / _STAND_INS[name])]


def real(name: str, root: str) -> list[str]:
    """The words that start OpenWrt's own `name` below `root`."""
    return [str(Path(root) / _REAL[name])]


def variants(name: str) -> list[list[str]]:
    """Every way there is to start `name`, for tests that compare: the stand-in, and the real one with OPENWRT_ROOT."""
    found = [stand_in(name)]
    if program(name) != found[0]:
        found.append(program(name))
    return found
