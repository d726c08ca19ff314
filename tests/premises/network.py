"""Lay the cables of a plan and give its hosts their addresses, with a few runs of `ip -batch`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from isdf.errors import FailedError

from .host import Host, enter
from .plan import Link

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def batch(host: Host, lines: Iterable[str], program: str = "ip") -> None:
    """Run lines of `ip` or `tc` in a host's network; pids in them are those that this process sees."""
    argv = [*enter(host.pid, network_only=True), program, "-batch", "-"]
    environment = os.environ | {"PATH": _PATH}
    text = "\n".join(lines) + "\n"
    done = subprocess.run(argv, input=text, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise FailedError(f"{program} failed on {host.name}: {done.stderr.strip()}")


def cables(links: Iterable[Link], hosts: dict[str, Host]) -> None:
    """Connect hosts; no packet is bigger than on a real wire (`gso_max_segs`), which the queues would feel."""
    lines = [
        f"link add name {link.a_device} gso_max_segs 1 netns {hosts[link.a].pid} type veth "
        f"peer name {link.b_device} gso_max_segs 1 netns {hosts[link.b].pid}"
        for link in links
    ]
    batch(hosts["wire"], lines)


def move(devices: Iterable[str], old: Host, new: Host) -> None:
    """Take devices out of a host and put them into another; addresses and queues stay behind, the cables do not."""
    batch(old, [f"link set {device} down netns {new.pid}" for device in devices])
