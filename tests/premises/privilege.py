"""What a machine must have before premises can be built on it, and the one line to paste where it has not.

Root needs nothing but the programs. Everybody else works in a user namespace of its own, with a range of user ids
from /etc/subuid so that each service on a router is a user of its own there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import FailedError

from . import rootfs, syscalls

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


def check(packages: Iterable[str] = ()) -> None:
    """Raise `LackingError` with all that this machine lacks, `packages` too, and the one line that mends it."""
    lacks: list[tuple[str, str]] = []  # what it is, and the command
    if missing := sorted({*packages, *_missing()}):
        lacks.append(
            (
                f"packages are missing ({', '.join(missing)})",
                f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(missing)}",
            )
        )
    for tree in rootfs.needed_trees():
        if tree.stat().st_mode & 0o005 != 0o005:
            lacks.append((f"services run as other users and cannot read {tree}", f"chmod -R go+rX {tree}"))
    if not is_root():
        lacks += _lacks_of_a_user()
    if lacks:
        reasons, commands = zip(*lacks, strict=True)
        line = " && ".join(commands)
        raise LackingError(f"{'; '.join(reasons)}; paste: {line.replace('sudo ', '') if is_root() else line}")
    if is_root() and not _has_sys_admin():
        raise LackingError("this root may not make namespaces (a container?), start it with: docker run --privileged")


def _missing() -> set[str]:
    """The packages of programs that are not there."""
    sbin = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    programs = PROGRAMS if is_root() else PROGRAMS | {"newuidmap": "uidmap", "newgidmap": "uidmap"}
    return {package for program, package in programs.items() if not shutil.which(program, path=sbin)}


def _lacks_of_a_user() -> Iterator[tuple[str, str]]:
    name, number = user_name(), os.geteuid()
    if not (sub_range("/etc/subuid", name, number) and sub_range("/etc/subgid", name, number)):
        yield (
            f"{name} has no range of user ids",
            f"sudo usermod --add-subuids 1000000-1065535 --add-subgids 1000000-1065535 {name}",
        )
    for knob, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "0"),  # Ubuntu since 24.04
        ("kernel.unprivileged_userns_clone", "1"),  # Debian's kernels before 11
    ):
        path = KNOBS.joinpath(*knob.split("."))
        if path.exists() and path.read_text().strip() != value and not _may_unshare():
            yield f"the kernel keeps user namespaces from {name}", f"sudo sysctl -w {knob}={value}"
    if (KNOBS / "user/max_user_namespaces").read_text().strip() == "0":
        yield "user namespaces are switched off", "sudo sysctl -w user.max_user_namespaces=10000"


def _has_sys_admin() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _may_unshare() -> bool:
    """Whether a child gets power in a user namespace of its own: AppArmor may allow it to some programs all the same,
    so this Python is tried, which will be the one."""
    flags = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET
    code = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({flags}))"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def main() -> int:
    """Say what is lacking; the packages of the command line are."""
    try:
        check(sys.argv[1:])
    except LackingError as error:
        print(f"This machine is not ready: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
