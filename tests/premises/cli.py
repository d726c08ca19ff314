"""The command `isdf-premises`: build homes, ISP and Internet, and work in any host of them from other terminals.

    isdf-premises up --homes 3 --agents
    isdf-premises ls
    isdf-premises shell home1.router
    isdf-premises exec home1.client1 -- curl -o /dev/null http://mirror-a.example/600MB
    isdf-premises loss home1 5
    isdf-premises delay home1 30
    isdf-premises unplug home1
    isdf-premises reboot home1

`up` does what the others ask for on a socket without a file (an abstract one, unix(7)), which goes away with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isdf import __version__
from isdf.errors import FailedError, IsdfError, UnavailableError

from . import plan
from .home import Home
from .host import ENVIRONMENT, enter
from .premises import IPV6_HOME, Premises

_CREDENTIALS = struct.Struct("3i")
_RC = 'PS1="\\[\\e[1m\\]\\h\\[\\e[0m\\]:\\w# "\n'


@dataclass(frozen=True)
class Fault:
    """What `up` may be asked to do to a home; `unit` is that of its amount, if it has one."""

    help: str
    do: Callable[..., None]
    unit: str = ""


FAULTS = {
    "loss": Fault("lose so many percent of the frames on a home's line, each way", Home.loss, "percent"),
    "delay": Fault("keep each frame on a home's line for so long, each way", Home.delay, "milliseconds"),
    "unplug": Fault("pull the plug of a home's line", Home.unplug),
    "plug": Fault("put the plug of a home's line in again", Home.plug),
    "reboot": Fault("cut the power of a home's router and let it boot; /etc and /usr are flash and stay", Home.reboot),
}


def main(argv: list[str] | None = None) -> int:
    """Exit status of the program for `exec` and `shell`; else 0, 1 when something failed, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="isdf-premises", description="Emulated homes, ISP and Internet.")
    parser.add_argument("--version", action="version", version=f"isdf-premises {__version__}")
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
    for verb, fault in FAULTS.items():
        ordered = commands.add_parser(verb, help=fault.help, description=f"{fault.help[0].upper()}{fault.help[1:]}.")
        ordered.add_argument("home", help="such as home1")
        if fault.unit:
            ordered.add_argument("amount", type=float, metavar=fault.unit.upper(), help="0 takes it away again")
        ordered.set_defaults(run=_order, verb=verb, amount=None)
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
    for name in sorted(_ask(arguments.name, {})):
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


def _order(arguments: argparse.Namespace) -> int:
    request = {"verb": arguments.verb, "home": arguments.home, "amount": arguments.amount}
    _ask(arguments.name, request)
    return 0


def _pid(arguments: argparse.Namespace) -> int:
    hosts = _ask(arguments.name, {})
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
        with link, contextlib.suppress(OSError):  # who asked may have gone
            _, uid, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if uid in (0, os.geteuid()):
                with link.makefile() as words:
                    link.sendall(json.dumps(_done(net, json.loads(words.readline()))).encode())


def _done(net: Premises, request: dict) -> dict:
    """Do what one request says: the pids of all hosts, or why it was not done."""
    try:
        if verb := request.get("verb"):
            homes = {home.name: home for home in net.homes}
            if request["home"] not in homes:
                raise ValueError(f"there is no {request['home']}; there are {', '.join(homes)}")
            amount = [] if request["amount"] is None else [request["amount"]]
            FAULTS[verb].do(homes[request["home"]], *amount)
        return {"hosts": {name: host.pid for name, host in net.hosts.items()}}
    except ValueError as error:
        return {"wrong": str(error)}
    except (IsdfError, OSError, subprocess.SubprocessError) as error:
        return {"failed": str(error)}


def _ask(name: str, request: dict) -> dict[str, int]:
    """Have `up` do something; the pids of all hosts after it."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(_address(name))
        except OSError:
            raise UnavailableError(
                f"no premises of the name {name} are up; start them with: isdf-premises up"
            ) from None
        link.sendall(json.dumps(request).encode() + b"\n")
        with link.makefile() as answer:
            said = json.loads(answer.read())
    if "wrong" in said:
        raise ValueError(said["wrong"])
    if "failed" in said:
        raise FailedError(said["failed"])
    return said["hosts"]


if __name__ == "__main__":
    sys.exit(main())
