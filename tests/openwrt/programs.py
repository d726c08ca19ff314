"""Which program plays a part of OpenWrt: the stand-in of this package, or the real one below OPENWRT_ROOT.

With OPENWRT_ROOT no stand-in of these four is started, by no test and in no home: this module alone knows how, and then
it tells nobody. The tests of the contract hold a stand-in and the real one to the same words, each in its own run;
with OPENWRT_COMPARE, too, which `make contract` sets, both in one run, and each with the other's counterpart.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
_STAND_INS = {
    "ubusd": [sys.executable, "-m", "openwrt.ubusd"],
    "ubus": [sys.executable, "-m", "openwrt.ubus"],
    # Several starts of these stand between a push and its effect: without site-packages each takes 16 to 30 ms.
    "opkg": [sys.executable, "-IS", str(HERE / "opkg")],
    "usign": [sys.executable, "-IS", str(HERE / "usign.py")],
}
_FOLDERS = ("sbin", "bin", "usr/sbin", "usr/bin")


def program(name: str) -> list[str]:
    """The argv to begin with for `ubusd`, `ubus`, `opkg` or `usign`.

    `LookupError` where OPENWRT_ROOT is set and that tree has no such program.
    """
    stand_in = _STAND_INS[name]
    root = os.environ.get("OPENWRT_ROOT")
    if not root:
        return stand_in
    if found := real(name):
        return found
    raise LookupError(f"OPENWRT_ROOT={root} has no {name} in {', '.join(_FOLDERS)}; build it there, or unset it")


def real(name: str) -> list[str] | None:
    """The argv of OpenWrt's own `name`, any program, if the environment has OPENWRT_ROOT and that tree has it."""
    root = os.environ.get("OPENWRT_ROOT")
    for folder in _FOLDERS if root else ():
        path = Path(root, folder, name)
        if os.access(path, os.X_OK):
            return [str(path)]
    return None


def choices(name: str) -> dict[str, list[str]]:
    """All that play `name` in this run, by a word for the test's id: `stand-in`, `openwrt`, to be compared both."""
    if not os.environ.get("OPENWRT_ROOT"):
        return {"stand-in": _STAND_INS[name]}
    compared = {"stand-in": _STAND_INS[name]} if os.environ.get("OPENWRT_COMPARE") else {}
    return {**compared, "openwrt": program(name)}
