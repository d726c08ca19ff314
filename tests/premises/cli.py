"""The command `isdf-premises`: build homes, ISP and Internet, and work in any host of them from other terminals.

    isdf-premises up --homes 3 --agents
    isdf-premises ls
    isdf-premises shell home1.router
    isdf-premises exec home1.client1 -- curl -o /dev/null http://mirror-a.example/600MB

`up` answers the others on a socket without a file (an abstract one, unix(7)), which goes away with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

from isdf.errors import IsdfError, UnavailableError

from . import plan
from .host import ENVIRONMENT, enter
from .premises import IPV6_HOME, Premises

_CREDENTIALS = struct.Struct("3i")
_RC = 'PS1="\\[\\e[1m\\]\\h\\[\\e[0m\\]:\\w# "\n'


def main(argv: list[str] | None = None) -> int:
    """Exit status of the program for `exec` and `shell`; else 0, 1 when something failed, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="isdf-premises", description="Emulated homes, ISP and Internet.")
    parser.add_argument("--name", default="premises", help="to have several of them (default: %(default)s)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="build the premises and keep them until Ctrl-C")
    up.add_argument("--homes", type=int, default=2, metavar="N", help=f"1 to {plan.HOMES_MAX} (default: %(default)s)")
    up.add_argument("--agents", action="store_true", help="start the manager, and the agent of every home")
    up.set_defaults(run=_up)
    ls = commands.add_parser("ls", help="list the hosts and their addresses")
    ls.set_defaults(run=_ls)
    shell = commands.add_parser("shell", help="a shell in a host")
    shell.add_argument("host", help="such as home1.router")
    shell.set_defaults(run=_shell)
    execute = commands.add_parser("exec", help="run a program in a host")
    execute.add_argument("host", help="such as home1.client1")
    execute.add_argument("command", nargs=argparse.REMAINDER, help="the program and its arguments, after --")
    execute.set_defaults(run=_exec)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (IsdfError, OSError, ValueError) as error:
        print(f"isdf-premises: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _up(arguments: argparse.Namespace) -> int:
    with _listen(arguments.name) as listener, Premises(homes=arguments.homes) as net:
        threading.Thread(target=_answer, args=(listener, net), daemon=True).start()
        if arguments.agents:
            net.start_manager()
            for home in net.homes:
                net.add_device(home)
                home.router.start_agent()
        print(_welcome(net, arguments), flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            print("\ntaking it down")
    return 0


def _welcome(net: Premises, arguments: argparse.Namespace) -> str:
    homes = "1 home" if len(net.homes) == 1 else f"{len(net.homes)} homes"
    again = "isdf-premises" + (f" --name {arguments.name}" if arguments.name != "premises" else "")
    operator = f"\n  {again} exec manager -- isdf-manager status" if arguments.agents else ""
    return (
        f"{homes}, the ISP and the Internet are up. In another terminal:\n"
        f"  {again} ls\n  {again} shell home1.router\n"
        f"  {again} exec home1.client1 -- curl -o /dev/null http://mirror-a.example/600MB{operator}\n"
        "Ctrl-C here takes everything down."
    )


def _ls(arguments: argparse.Namespace) -> int:
    for name in sorted(_hosts(arguments.name)):
        print(f"{name:16} {'  '.join(_addresses(name))}")
    return 0


def _addresses(name: str) -> tuple[str, ...]:
    """For people; a router's are those of its WAN."""
    fixed = {
        "edge": plan.EDGE, "manager": plan.MANAGER, "app": plan.APP, "dns": plan.DNS, "mirror-a": plan.MIRROR_A,
        "mirror-b": plan.MIRROR_B, "core": ("between the edge and all others",), "wire": ("the homes' lines",),
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    home, _, part = name.partition(".")
    where = plan.HomePlan(int(home.removeprefix("home")))
    if part == "router":
        alone = ("reaches the manager by IPv6 alone",) if where.number == IPV6_HOME else ()
        return (*where.wan, *alone)
    member = next(member for member in plan.MEMBERS if member.name == part)
    return where.inside(member.network, member.host)


def _shell(arguments: argparse.Namespace) -> int:
    pid = _pid(arguments)
    shell = "bash" if Path(f"/proc/{pid}/root/bin/bash").exists() else "sh"
    words = [shell, "--rcfile", "/etc/premises.rc"] if shell == "bash" else [shell]
    Path(f"/proc/{pid}/root/etc/premises.rc").write_text(_RC)
    return _become(pid, words)


def _exec(arguments: argparse.Namespace) -> int:
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise ValueError("there is no program after the host, as in: isdf-premises exec home1.client1 -- ip address")
    return _become(_pid(arguments), words)


def _become(pid: int, words: list[str]) -> int:
    scripts = str(Path(sys.executable).parent)  # where isdf-manager is
    path = {"PATH": f"{ENVIRONMENT['PATH']}:{scripts}", "TERM": os.environ.get("TERM", "dumb")}
    manager = {"ISDF_MANAGER_HOME": "/srv/manager"}
    argv = [*enter(pid), *words]
    os.execvpe(argv[0], argv, ENVIRONMENT | path | manager)


def _pid(arguments: argparse.Namespace) -> int:
    hosts = _hosts(arguments.name)
    if arguments.host not in hosts:
        raise ValueError(f"there is no host {arguments.host}; there are {', '.join(sorted(hosts))}")
    return hosts[arguments.host]


def _address(name: str) -> str:
    return f"\0isdf-premises/{os.geteuid()}/{name}"


def _listen(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(_address(name))
    except OSError:
        listener.close()
        raise ValueError(f"premises of the name {name} are up already; give these another one with --name") from None
    listener.listen()
    return listener


def _answer(listener: socket.socket, net: Premises) -> None:
    while True:
        link, _ = listener.accept()
        with link:
            _, uid, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if uid in (0, os.geteuid()):
                link.sendall(json.dumps({name: host.pid for name, host in net.hosts.items()}).encode())


def _hosts(name: str) -> dict[str, int]:
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(_address(name))
        except OSError:
            raise UnavailableError(
                f"no premises of the name {name} are up; start them with: isdf-premises up"
            ) from None
        with link.makefile() as answer:
            return json.loads(answer.read())


if __name__ == "__main__":
    sys.exit(main())
