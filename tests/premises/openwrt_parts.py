"""OpenWrt's programs on a router: the stand-ins of tests/openwrt, or the real ones below OPENWRT_ROOT; and our agent.

The agent comes as its package brings it, from package/isdf-agent/files, but for /usr/bin/isdf-agent: its Python is that
of this checkout. opkg's status file says that the package is installed, so that packages which depend on it can be.
"""

from __future__ import annotations

import shlex
import sys
import tomllib

from openwrt import programs

from . import rootfs
from .host import Host

_PROGRAMS = {"ubusd": "/sbin/ubusd", "ubus": "/bin/ubus", "opkg": "/bin/opkg", "usign": "/usr/bin/usign"}
_FILES = {  # of package/isdf-agent/files: where each is on a router, and its mode
    "isdf-agent.init": ("/etc/init.d/isdf-agent", 0o755),
    "isdf-agent.keep": ("/lib/upgrade/keep.d/isdf-agent", 0o644),
    "isdf.acl.json": ("/usr/share/acl.d/isdf.json", 0o644),
    "push-rule.sh": ("/usr/lib/isdf/push-rule", 0o755),
    "isdf.config": ("/etc/config/isdf", 0o600),
}
_GROUP = "isdf:x:457:\n"  # the package makes it; ubusd looks the name up when it reads the ACL
_STATUS = "Package: {name}\nVersion: {version}\n{depends}Status: install ok installed\nArchitecture: all\n\n"
_PACKAGES = {"libc": "", "python3-isdf": "libc", "isdf-agent": "libc, python3-isdf"}


def install(router: Host) -> None:
    """Put the programs and the agent into a router's file system."""
    for name, place in _PROGRAMS.items():
        router.write(place, _wrapper(programs.program(name)), 0o755)
    router.write("/sbin/uci", _wrapper(programs.real("uci") or [sys.executable, "-m", "premises.uci_command"]), 0o755)
    router.write("/sbin/fw4", _wrapper([sys.executable, "-m", "premises.fw4"]), 0o755)
    router.write("/sbin/logread", _wrapper([sys.executable, "-m", "openwrt.logread"]), 0o755)
    router.write("/lib/functions.sh", (rootfs.CHECKOUT / "tests/openwrt/functions.sh").read_text())
    for name, (place, mode) in _FILES.items():
        router.write(place, (rootfs.CHECKOUT / "package/isdf-agent/files" / name).read_text(), mode)
    router.write("/usr/bin/isdf-agent", _wrapper([sys.executable, "-P", "-m", "isdf_agent.app"]), 0o755)
    router.write("/etc/group", router.read("/etc/group") + _GROUP)
    version = tomllib.loads((rootfs.CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    status = ""
    for name, depends in _PACKAGES.items():
        status += _STATUS.format(name=name, version=version, depends=f"Depends: {depends}\n" if depends else "")
    router.write("/usr/lib/opkg/status", status)
    router.path("/usr/lib/opkg/info").mkdir(exist_ok=True)
    for name in _PACKAGES:
        router.write(f"/usr/lib/opkg/info/{name}.list", "")


def procd() -> list[str]:
    """The command line of procd, which starts ubusd, and what init scripts set, and writes what they say to a log."""
    argv = ["-m", "openwrt.procd", "--ubus", "/var/run/ubus/ubus.sock", "--ubusd", _PROGRAMS["ubusd"]]
    return [f"{rootfs.PYTHON}/bin/python3", *argv, "--log", "/var/log/messages"]


def _wrapper(argv: list[str]) -> str:
    """A program that is another one with arguments; this machine's Python becomes the router's."""
    if argv[0] == sys.executable:
        argv = [f"{rootfs.PYTHON}/bin/python3", *argv[1:]]
    return f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n'
