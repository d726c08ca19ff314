"""Which program plays a part of OpenWrt: the stand-in of this package, or the real one below OPENWRT_ROOT."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
STAND_INS = {
    "ubusd": [sys.executable, "-m", "openwrt.ubusd"],
    "ubus": [sys.executable, "-m", "openwrt.ubus"],
    # Several starts of these stand between a push and its effect: without site-packages each takes 16 to 30 ms.
    "opkg": [sys.executable, "-IS", str(HERE / "opkg")],
    "usign": [sys.executable, "-IS", str(HERE / "usign.py")],
}
FOLDERS = ("sbin", "bin", "usr/sbin", "usr/bin")


def program(name: str) -> list[str]:
    """The argv to begin with for `ubusd`, `ubus`, `opkg` or `usign`."""
    return real(name) or STAND_INS[name]


def real(name: str) -> list[str] | None:
    """The argv of OpenWrt's own `name`, if the environment has OPENWRT_ROOT and that tree has it."""
    root = os.environ.get("OPENWRT_ROOT")
    for folder in FOLDERS if root else ():
        path = Path(root, folder, name)
        if os.access(path, os.X_OK):
            return [str(path)]
    return None


def choices(name: str) -> dict[str, list[str]]:
    """All that can play `name`, by a word for the test's id: the stand-in always, the real one where there is one."""
    found = {"stand-in": STAND_INS[name]}
    if argv := real(name):
        found["openwrt"] = argv
    return found
