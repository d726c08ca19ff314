"""The process that all hosts of a premises hang from: first a user namespace if need be, then pid 1 of their own.

`python -m premises.top FD`: FD is one end of a SOCK_SEQPACKET pair. A message `{"name": ..., "router": bool,
"forward": bool}` makes a host: a process that holds a mount, a network and a host name namespace and sleeps. The host
itself answers, so that the kernel tells the asker its pid (SCM_CREDENTIALS). A name that exists already is booted
again: a new network, the same files, /tmp empty.

When the other end of the pair closes, for whatever reason, pid 1 ends and with it everything that the hosts have:
processes, links, rules and mounts. Nothing is ever made outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

from . import privilege, rootfs, syscalls

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS


def main() -> int:
    channel = socket.socket(fileno=int(sys.argv[1]))
    syscalls.set_process_name("premises")
    if not privilege.is_root():
        _enter_user_namespace()
    syscalls.unshare(_NAMESPACES | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        syscalls.die_with_parent()
        syscalls.set_dumpable()
        _serve(channel)
        os._exit(0)
    channel.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _enter_user_namespace() -> None:
    """Become root of a new user namespace; a child that stays outside writes the maps (newuidmap is setuid)."""
    name, uid, gid = privilege.user_name(), os.geteuid(), os.getegid()
    uids = privilege.sub_range("/etc/subuid", name, uid).id_map(uid)
    gids = privilege.sub_range("/etc/subgid", name, uid).id_map(gid)
    read, write = os.pipe()
    me = str(os.getpid())
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        for program, triples in (("newuidmap", uids), ("newgidmap", gids)):
            numbers = [str(number) for triple in triples for number in triple]
            if subprocess.run([program, me, *numbers], check=False).returncode:
                os._exit(1)
        os._exit(0)
    os.close(read)
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    os.close(write)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name}'s ids could not be mapped: newuidmap or newgidmap refused")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([0])


def _serve(channel: socket.socket) -> None:
    holders: dict[str, int] = {}
    signal.signal(signal.SIGCHLD, _reap)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc")
    while message := channel.recv(65536):
        request = json.loads(message)
        before = holders.get(request["name"])
        child = os.fork()
        if child == 0:
            _hold(channel, before, **request)
        holders[request["name"]] = child


def _reap(*_: object) -> None:
    """Orphans of all hosts become children of pid 1."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _hold(channel: socket.socket, before: int | None, name: str, router: bool, forward: bool) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        syscalls.die_with_parent()
        syscalls.set_process_name(name)
        syscalls.set_dumpable()
        if before:
            _enter_files_of(before)
        syscalls.unshare(_NAMESPACES)
        syscalls.set_hostname(name.replace(".", "-"))
        if before:
            rootfs.fresh(router=router, again=True)
        else:
            rootfs.build(router=router)
        _settings(forward)
        channel.send(json.dumps({"ready": name}).encode())
    except Exception as error:
        with contextlib.suppress(OSError):  # nobody listens any more
            channel.send(json.dumps({"error": f"host {name} could not be made: {error}"}).encode())
        os._exit(1)
    channel.close()
    os.closerange(0, 64)
    while True:
        signal.pause()


def _enter_files_of(pid: int) -> None:
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    syscalls.setns(fd, syscalls.CLONE_NEWNS)
    os.close(fd)


def _settings(forward: bool) -> None:
    """Addresses work at once (no duplicate detection), and TCP remembers nothing of earlier connections."""
    values = {
        "net/ipv6/conf/all/accept_dad": 0, "net/ipv6/conf/default/accept_dad": 0,
        "net/ipv6/conf/all/accept_ra": 0, "net/ipv6/conf/default/accept_ra": 0,
        "net/ipv4/tcp_no_metrics_save": 1,
        "net/ipv4/ping_group_range": "0 0",
    }  # fmt: skip
    if forward:
        values |= dict.fromkeys(
            ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"), 1
        )
    for name, value in values.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(str(value))


if __name__ == "__main__":
    sys.exit(main())
