"""The file system of one host: a tmpfs of its own that shows the machine's programs, read-only.

A router has its directories at OpenWrt's places and can write to all of them: in /usr/bin, /usr/lib and so on stand
links to the machine's files, which are at /rom (where OpenWrt has the read-only system below its overlay), so a
package installed there hides nothing and harms nothing. The project's tree and the Python that runs it are bound at
their own paths, below directories that every user may pass, since services run as users of their own.

Links are relative: they are also followed from outside, through /proc/PID/root.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from . import syscalls

CHECKOUT = Path(__file__).resolve().parents[2]
_HOST = "/.host"  # the machine's root while a host's is built
_TREES = "/rom/trees"
_ETC = (
    "alternatives", "ca-certificates", "ethertypes", "gai.conf", "host.conf", "iproute2", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "protocols", "python3", "python3.11", "python3.12", "python3.13", "services", "ssl",
)  # fmt: skip
_FILLED = ("bin", "sbin", "lib", "share")  # of a router's /usr: directories of links
# What the machine has by these names in them is nothing to a router.
_OPENWRT = {"acl.d", "functions", "isdf", "nftables.d", "opkg", "rpcd", "upgrade"}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# These are looked up while the machine's files are still in place.
_PREFIXES = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
_OPENWRT_ROOT = {Path(root).resolve()} if (root := os.environ.get("OPENWRT_ROOT")) else set()
_INTERPRETER, _PACKAGES = os.path.realpath(sys.executable), sysconfig.get_path("purelib")
PYTHON = "/opt/isdf"  # a router's Python: the interpreter and the packages of the one that runs this


def build(*, router: bool) -> None:
    """Give the calling process, alone in its mount and network namespace, a root of its own; it ends in `/`."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", "/tmp", "tmpfs", syscalls.MS_NODEV, "mode=0755")
    os.umask(0o022)
    os.mkdir("/tmp" + _HOST)
    syscalls.pivot_root("/tmp", "/tmp" + _HOST)
    os.chdir("/")
    _system(router)
    for directory in ("root", "home", "mnt", "srv", "opt", "dev/pts", "dev/shm", "proc", "sys", "tmp"):
        os.makedirs("/" + directory, exist_ok=True)
    _devices()
    if router:
        os.symlink("tmp", "/var")
        os.symlink("tmp/run", "/run")
        _python()
    else:
        os.makedirs("/run/lock")
        os.makedirs("/var/lib")
        os.makedirs("/var/log")
        os.symlink("../run", "/var/run")
        os.chmod("/tmp", 0o1777)
    for number, tree in enumerate(needed_trees()):
        os.makedirs(f"{_TREES}/{number}")
        syscalls.bind(_HOST + str(tree), f"{_TREES}/{number}", read_only=True)
    fresh(router=router)
    syscalls.umount(_HOST)
    os.rmdir(_HOST)


def fresh(*, router: bool, again: bool = False) -> None:
    """What each boot has anew: /proc and /sys of the process's namespaces and, on a router, an empty /tmp."""
    # /proc and /sys are laid over those of the boot before: a user namespace may mount them only where it sees one.
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("proc", "/proc", "proc", plain)
    syscalls.mount("sysfs", "/sys", "sysfs", plain)
    if router:
        if again:
            syscalls.umount("/tmp")
        syscalls.mount("tmpfs", "/tmp", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
    for number, tree in enumerate(needed_trees()):
        # A tree may lie in another, in /usr, or in /tmp (or /var, which is there on a router) and be gone with it.
        if not tree.exists():
            tree.mkdir(parents=True)
            syscalls.bind(f"{_TREES}/{number}", str(tree))


def needed_trees() -> list[Path]:
    """The directories outside the system that the project's Python needs, outermost first."""
    return sorted(tree for tree in {CHECKOUT, *_PREFIXES, *_OPENWRT_ROOT} if tree not in (Path("/usr"), Path("/")))


def _system(router: bool) -> None:
    os.makedirs("/rom/usr")
    syscalls.bind(f"{_HOST}/usr", "/rom/usr", read_only=True)
    if router:
        os.mkdir("/usr")
        for entry in os.listdir("/rom/usr"):
            if entry in _FILLED:
                _fill(f"usr/{entry}")
            else:
                os.symlink(f"../rom/usr/{entry}", f"/usr/{entry}")
    else:
        os.symlink("rom/usr", "/usr")
    for entry in os.listdir(_HOST):
        if not entry.startswith(("bin", "sbin", "lib")):
            continue
        if os.path.islink(f"{_HOST}/{entry}"):
            os.symlink(os.readlink(f"{_HOST}/{entry}").lstrip("/"), "/" + entry)
        else:
            os.mkdir("/" + entry)
            syscalls.bind(f"{_HOST}/{entry}", "/" + entry, read_only=True)
    os.mkdir("/etc")
    for entry in _ETC:
        source, target = Path(_HOST, "etc", entry), Path("/etc", entry)
        if source.exists():
            target.mkdir() if source.is_dir() else target.touch()
            syscalls.bind(str(source), str(target), read_only=True)


def _fill(directory: str) -> None:
    os.mkdir("/" + directory)
    up = "../" * (directory.count("/") + 1)
    for entry in set(os.listdir(f"/rom/{directory}")) - _OPENWRT:
        os.symlink(f"{up}rom/{directory}/{entry}", f"/{directory}/{entry}")


def _python() -> None:
    """A virtual environment at PYTHON and /usr/bin/python3 that enters it.

    /usr/bin/python3 cannot be a link into the one that runs this: Python looks for its packages beside the name by
    which it was called. And that one may itself be a link to /usr/bin/python3, hence the interpreter's real path.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    os.makedirs(f"{PYTHON}/bin")
    os.makedirs(f"{PYTHON}/lib/{version}")
    Path(PYTHON, "pyvenv.cfg").write_text(f"home = {os.path.dirname(_INTERPRETER)}\n")
    os.symlink(_INTERPRETER, f"{PYTHON}/bin/python3")
    os.symlink(_PACKAGES, f"{PYTHON}/lib/{version}/site-packages")
    for name in ("python", "python3"):
        replace(Path("/usr/bin", name), f'#!/bin/sh\nexec {PYTHON}/bin/python3 "$@"\n', 0o755)


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file in the place of whatever stands there; a link is replaced, never followed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _devices() -> None:
    for device in _DEVICES:
        Path("/dev", device).touch()
        syscalls.mount(f"{_HOST}/dev/{device}", f"/dev/{device}", flags=syscalls.MS_BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    os.symlink("/proc/self/fd", "/dev/fd")
    os.symlink("pts/ptmx", "/dev/ptmx")
    os.chmod("/dev/shm", 0o1777)
    syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "newinstance,ptmxmode=0666")
