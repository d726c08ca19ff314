"""What a machine must have before premises can be built on it, and the one line to paste where it has not.

Root needs nothing but the programs. Everybody else works in a user namespace of its own, with a range of user ids
from /etc/subuid so that each service on a router is a user of its own there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import FailedError

from . import rootfs

PROGRAMS = {
    "ip": "iproute2", "tc": "iproute2", "nft": "nftables", "dnsmasq": "dnsmasq-base", "curl": "curl",
    "nsenter": "util-linux", "setpriv": "util-linux",
}  # fmt: skip
# Inside: root; system users; those that OpenWrt's functions.sh gives to packages (from 32768 or from 65536); nobody.
INNER = ((1, 1023), (32768, 4096), (65534, 4096))
KNOBS = Path("/proc/sys")
_CAP_SYS_ADMIN = 21


@dataclass(frozen=True)
class Range:
    """A range of ids that a user may map: /etc/subuid and /etc/subgid, see subuid(5)."""

    first: int
    count: int

    def id_map(self, own: int) -> list[tuple[int, int, int]]:
        """Triples (inside, outside, count) for newuidmap: `own` becomes 0, the range the ids of `INNER`."""
        triples, used = [(0, own, 1)], 0
        for inside, count in INNER:
            triples.append((inside, self.first + used, count))
            used += count
        return triples


class LackingError(FailedError):
    """The machine lacks something; the sentence ends in a line to paste."""

    slug, title = "machine-lacks", "This machine lacks something"


def is_root() -> bool:
    return os.geteuid() == 0


def sub_range(path: str, user: str, number: int) -> Range | None:
    """The first large enough range of `user` (or the id `number`) in a file like /etc/subuid, None if there is none."""
    needed = sum(count for _, count in INNER)
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in (user, str(number)) and int(fields[2]) >= needed:
            return Range(int(fields[1]), int(fields[2]))
    return None


def user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def check() -> None:
    """Raise `LackingError` for the first thing that this machine lacks, with all that one line can mend."""
    sbin = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=sbin)})
    if not is_root() and not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        missing.append("uidmap")
    if missing:
        raise LackingError(f"programs are missing, paste: {_sudo()}apt-get install -y {' '.join(missing)}")
    for tree in rootfs.needed_trees():
        if tree.stat().st_mode & 0o005 != 0o005:
            raise LackingError(f"services run as other users and cannot read {tree}, paste: chmod -R go+rX {tree}")
    if is_root():
        if not _has_sys_admin():
            raise LackingError(
                "this root may not make namespaces (a container?), start it with: docker run --privileged"
            )
        return
    name, number = user_name(), os.geteuid()
    if not (sub_range("/etc/subuid", name, number) and sub_range("/etc/subgid", name, number)):
        raise LackingError(
            f"{name} has no range of user ids, paste: "
            f"sudo usermod --add-subuids 1000000-1065535 --add-subgids 1000000-1065535 {name}"
        )
    for knob, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "0"),  # Ubuntu since 24.04
        ("kernel.unprivileged_userns_clone", "1"),  # Debian's kernels before 11
    ):
        path = KNOBS.joinpath(*knob.split("."))
        if path.exists() and path.read_text().strip() != value and not _may_unshare():
            raise LackingError(f"the kernel keeps user namespaces from {name}, paste: sudo sysctl -w {knob}={value}")
    if (KNOBS / "user/max_user_namespaces").read_text().strip() == "0":
        raise LackingError("user namespaces are switched off, paste: sudo sysctl -w user.max_user_namespaces=10000")


def _sudo() -> str:
    return "" if is_root() else "sudo "


def _has_sys_admin() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _may_unshare() -> bool:
    """Whether a child gets power in a user namespace of its own: a profile of AppArmor may allow it all the same."""
    return subprocess.run(["unshare", "-Un", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
