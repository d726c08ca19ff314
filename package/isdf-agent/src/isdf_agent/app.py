"""The agent as a whole: the one place that knows all parts. Read this first.

newcomer ---- in the place of all this on a router that is not enrolled yet
bus ---- isdf, isdf.service, isdf.control on ubus; procd's object
delivery ---- what should run here, fetched, verified, installed
services ---- what runs, through procd
policy ---- who may change what; leases
dataplane ---- how the kernel is told
monitor ---- what the traffic says: DNS answers, for classes that follow a name
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable

from isdf import __version__, ubus
from isdf.errors import InvalidError, IsdfError, UnavailableError
from isdf.log import Log, setup
from isdf.loop import Loop, Timer
from isdf.model import Line
from isdf.path import Path

from . import bus as buses
from .config import Config, Paths, line_of, load
from .dataplane.port import Dataplane
from .delivery.delivery import Delivery
from .delivery.identity import Identities, Identity
from .delivery.joining import Joining
from .healing import Healer
from .life import Life
from .monitor.hosts import HostFollower
from .monitor.resolver import Resolver
from .monitor.sources.dns_tap import Rules
from .newcomer import Newcomer
from .policy.grants import LOCAL, Grant
from .policy.ledger import FileLedger
from .policy.policy import RETRY, Policy
from .services.supervisor import Supervisor

log = Log(__name__)

TICK_MAX = 3600.0  # seconds; the wall clock may be set meanwhile
APART = 30.0  # seconds between starts by procd of an agent that cannot start


class Agent:
    """All parts, wired. `run()` serves until SIGTERM; the kernel's state stays then, and the next agent adopts it."""

    def __init__(
        self, config: Config, paths: Paths, bus: ubus.Connection, identities: Identities, identity: Identity, line: Line
    ) -> None:
        self._config, self._paths, self._bus, self._identity = config, paths, bus, identity
        self._loop = Loop()
        self._life = Life(self._loop)
        self._started = time.time()
        self._procd = buses.Procd(bus)
        self._dataplane, rules = _dataplane(config, self._loop)
        self._policy = Policy(self._dataplane, line, FileLedger(paths.run / "ledger.json"), self._grant, self._place)
        self._supervisor = Supervisor(
            self._procd, self._policy, self._loop, folder=paths.services, notes=paths.run / "services.json",
            ubus=paths.ubus, passwd=paths.passwd, ready_timeout=config.ready_timeout,
        )  # fmt: skip
        self._hosts = HostFollower(self._loop, self._policy, rules, Resolver(self._loop, paths.resolv_conf))
        self._healer = Healer(self._loop, [self._policy.repair, self._hosts.repair])
        self._policy.on_change = self._changed
        self._policy.on_fault = self._hosts.on_fault = self._healer.refused
        self._change_seen: Timer | None = None
        self._tick: Timer | None = None
        self._delivery = Delivery(self._loop, config, paths, identity, self._supervisor, version=__version__)
        self._joining = Joining(self._loop, config, paths, identities, identity, self._life.hand_over)
        self._delivery.on_pull_started = lambda reason: self._warm()
        self._delivery.on_settled = self._settle

    def run(self) -> bool:
        """Whether another agent must take over, because the router is somebody else now."""
        self._dataplane.watch(self._loop, self._healer.look)
        self._policy.restore()
        self._changed()
        self._bus.attach(self._loop)
        self._procd.watch(self._supervisor.exited, self._supervisor.reconcile)
        buses.publish(self._bus, self, self._supervisor, self._policy, self._hosts)
        self._supervisor.adopt(self._delivery.start)
        self._joining.start()
        log.info("isdf-agent %s runs for device %s of %s", __version__, self._identity.device, self._identity.manager)
        another = self._life.run()
        self._joining.stop()
        self._delivery.stop()
        self._bus.close()
        return another

    def _warm(self) -> None:
        try:
            self._dataplane.warm()
        except IsdfError as error:  # the change itself tries again, and tells
            log.warning("%s", error)

    def _settle(self) -> None:
        """Services may stand otherwise in the assignment now, and go before each other in another order.

        What belongs to none that is there (an agent before this one was ended in the middle) goes.
        """
        for owner in self._policy.owners() - self._supervisor.versions().keys() - {LOCAL}:
            self._policy.withdraw(owner)
        try:
            self._policy.settle()
        except IsdfError as error:
            log.error("the order of services on the line stays as it was for now: %s", error)

    # -- what follows a change

    def _changed(self) -> None:
        """After this round of the loop, and so once for many changes."""
        if self._change_seen is None:
            self._change_seen = self._loop.after(0, self._follow)

    def _follow(self) -> None:
        self._change_seen = None
        self._hosts.update()
        if self._tick:
            self._tick.cancel()
        try:
            wait = self._policy.tick()
        except IsdfError as error:
            log.error("what is over on the line could not be ended: %s", error)
            wait = RETRY
        self._tick = None if wait is None else self._loop.after(min(wait, TICK_MAX), self._follow)

    # -- what the object `isdf` offers (see bus.Agent)

    def status(self) -> dict:
        return {
            "agent": __version__,
            "enrolled": True,
            "device": self._identity.device,
            "manager": self._identity.manager,
            "insecure": self._config.insecure or self._identity.insecure,
            "enrolment_error": self._joining.error.as_dict() if self._joining.error else None,
            "since": self._started,
            "delivery": self._delivery.status(),
            "control": self._policy.status(),
        }

    def pull(self) -> None:
        self._joining.start()
        self._delivery.pull()
        self._healer.look()

    def interface_changed(self) -> None:
        self._joining.interface_changed()
        self._delivery.interface_changed()

    def hold(self, service: str, done: Callable[[str | None], None]) -> None:
        """The customer stops a service."""
        self._delivery.rollout.hold(service, done)

    def release(self, service: str, done: Callable[[str | None], None]) -> None:
        """The customer starts it again."""
        self._delivery.rollout.release(service, done)

    def _place(self, owner: str) -> tuple[int, int] | None:
        """The priority of the service `owner`, and its position in the assignment; None where it is in none."""
        received = self._delivery.rollout.received
        entries = received.assignment.services if received else ()
        found = ((entry.priority, position) for position, entry in enumerate(entries) if entry.name == owner)
        return next(found, None)

    def _grant(self, owner: str) -> Grant:
        """What the service `owner` may: `may:` of its installed description."""
        if self._place(owner) is None:
            raise InvalidError(f"service {owner} is not in the assignment of this router")
        try:
            description = json.loads((self._paths.services / owner / "service.json").read_bytes())
            return Grant.parse(description.get("may", {}))
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidError(f"the description of service {owner} cannot be read: {error}") from None


def _dataplane(config: Config, loop: Loop) -> tuple[Dataplane, Rules | None]:
    """The dataplane of the configuration, and what carries out the rules of `monitor`."""
    if config.dataplane == "memory":
        from .dataplane.memory import MemoryDataplane

        return MemoryDataplane(), None
    from .dataplane.kernel import KernelDataplane
    from .dataplane.link import LinkWorker
    from .dataplane.nft import Nft

    nft = Nft()
    return KernelDataplane(config.wan, config.lan, config.mark_mask, nft, LinkWorker(loop)), nft


def _connect(path: Path) -> ubus.Connection:
    """ubusd may be about to come: OpenWrt starts both at boot."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ubus.connect(str(path))
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _serve(paths: Paths) -> bool:
    """Be the agent that this router needs now; whether another one must take over."""
    config = load(paths.config)
    bus, identities = _connect(paths.ubus), Identities(paths.flash)
    found = identities.load()
    identity = found[0] if found else None
    line = config.line or (line_of(identity.line) if identity and identity.line else None)
    if identity is None or line is None:
        return Newcomer(config, paths, bus, identities, identity).run()
    return Agent(config, paths, bus, identities, identity, line).run()


def _parse(argv: list[str]) -> tuple[Path, str, Callable[[Paths], str] | None]:
    """The root, the level of the log, and the command in the place of an agent, if one is given."""
    import argparse  # for people alone: procd starts an agent without arguments

    parser = argparse.ArgumentParser(prog="isdf-agent", description="Runs an ISP's services on this router.")
    parser.add_argument("--version", action="version", version=f"isdf-agent {__version__}")
    root = "where the router's files lie (default: /)"
    parser.add_argument("--root", type=Path, default=Path("/"), help=root)
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", metavar="enroll | teardown")
    text = "make this router known to its ISP, with the claim code of the ISP"
    more = "; done at once, and what is cut off the agent goes on with"
    enroll = commands.add_parser("enroll", help=text, description=f"{text[0].upper()}{text[1:]}{more}.")
    enroll.add_argument("url", metavar="URL", help="the manager's address, such as https://isdf.isp.example")
    enroll.add_argument("code", metavar="CODE", help="what 'isdf-manager device add' printed: ABCD-EFGH-...")
    enroll.add_argument("--insecure", action="store_true", help="allow an http address")
    text = "end all services, and take away what an agent made in the kernel; none must run"
    more = ". That is in the network namespace where this runs, whatever --root says: a root has files alone"
    teardown = commands.add_parser("teardown", help=text, description=f"{text[0].upper()}{text[1:]}{more}.")
    for command in (enroll, teardown):
        command.add_argument("--root", type=Path, default=argparse.SUPPRESS, help=root)
    args = parser.parse_args(argv)
    command = None
    if args.command == "teardown":
        from .teardown_command import teardown as command
    elif args.command:
        from .enroll_command import enroll  # HTTP and TLS, which an agent must not have in its memory

        command = functools.partial(enroll, url=args.url, code=args.code, insecure=args.insecure)
    return args.root, "debug" if args.verbose else "info", command


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when told to end or done, 1 when it failed, 2 for wrong use, a wrong configuration included."""
    words = sys.argv[1:] if argv is None else argv
    root, level, command = _parse(words) if words else (Path("/"), "info", None)
    setup("isdf-agent", level)
    os.umask(0o077)
    paths = Paths(root)
    try:
        if command:
            print(command(paths))
        elif _serve(paths):
            os.execv(sys.executable, sys.orig_argv)  # a new identity begins with nothing of the one before
    except IsdfError as error:
        print(f"isdf-agent: {error}", file=sys.stderr)
        if not words:
            time.sleep(APART)  # procd starts it again at once, as after a crash; this one needs a person
        return 2 if type(error) is InvalidError else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
