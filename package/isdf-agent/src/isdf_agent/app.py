"""The agent as a whole: the one place that knows all parts. Read this first.

bus ---- isdf, isdf.service, isdf.control on ubus; procd's object
delivery ---- what should run here, fetched, verified, installed
services ---- what runs, through procd
policy ---- who may change what; leases
dataplane ---- how the kernel is told
monitor ---- what the traffic says: DNS answers, for classes that follow a name
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from isdf import __version__, ubus
from isdf.errors import InvalidError, IsdfError, UnavailableError
from isdf.loop import Loop, Timer

from . import bus as buses
from .config import Config, Paths, load
from .dataplane.port import Dataplane
from .delivery.delivery import Delivery
from .monitor.hosts import HostFollower
from .monitor.resolver import Resolver
from .monitor.sources.dns_tap import Rules
from .policy.grants import Grant
from .policy.ledger import FileLedger
from .policy.policy import Policy
from .services.supervisor import Supervisor

log = logging.getLogger("isdf_agent")

TICK_MAX = 3600.0  # seconds; the wall clock may be set meanwhile
RETRY = 10.0  # seconds until what the kernel refused is tried again


class Agent:
    """All parts, wired. `run()` serves until SIGTERM; the kernel's state stays then, and the next agent adopts it."""

    def __init__(self, config: Config, paths: Paths, bus: ubus.Connection) -> None:
        self._config, self._paths, self._bus = config, paths, bus
        self._loop = Loop()
        self._started = time.time()
        self._procd = buses.Procd(bus)
        self._dataplane, rules = _dataplane(config, self._loop)
        self._policy = Policy(self._dataplane, config.line, FileLedger(paths.run / "ledger.json"), self._grant)
        self._supervisor = Supervisor(
            self._procd, self._policy, self._loop, folder=paths.services, notes=paths.run / "services.json",
            ubus=paths.ubus, passwd=paths.passwd, ready_timeout=config.ready_timeout,
        )  # fmt: skip
        self._resolver = Resolver(self._loop, paths.resolv_conf)
        self._hosts = HostFollower(self._loop, self._policy, rules, self._resolver)
        self._policy.on_change = self._changed
        self._change_seen: Timer | None = None
        self._tick: Timer | None = None
        self._delivery = Delivery(self._loop, config, paths, self._supervisor, version=__version__)
        self._delivery.on_pull_started = lambda reason: self._warm()
        self._delivery.on_settled = self._settle

    def run(self) -> None:
        self._policy.restore()
        self._changed()
        self._bus.attach(self._loop)
        self._procd.watch(self._supervisor.exited)
        buses.publish(self._bus, self, self._supervisor, self._policy, self._hosts, self._resolver)
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        self._supervisor.adopt(self._delivery.start)
        log.info("isdf-agent %s runs for device %s", __version__, self._config.device)
        self._loop.run()
        self._delivery.stop()
        self._bus.close()

    def _warm(self) -> None:
        try:
            self._dataplane.warm()
        except IsdfError as error:  # the change itself tries again, and tells
            log.warning("%s", error)

    def _settle(self) -> None:
        """Services may stand otherwise in the assignment now, and go before each other in another order.

        What belongs to none that is there (an agent before this one was ended in the middle) goes.
        """
        for owner in self._policy.owners() - self._supervisor.versions().keys() - {buses.LOCAL}:
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
            "device": self._config.device,
            "manager": self._config.manager,
            "since": self._started,
            "delivery": self._delivery.status(),
            "control": self._policy.status(),
        }

    def pull(self) -> None:
        """By hand, and by procd when an interface came up: its device may be another one than before."""
        self._delivery.pull()
        try:
            self._policy.repair()
        except IsdfError as error:
            log.error("%s; it is tried again at the next change", error)

    def _grant(self, owner: str) -> Grant:
        """What the service `owner` may: `may:` of its installed description, its place in the assignment."""
        received = self._delivery.rollout.received
        entries = received.assignment.services if received else ()
        places = {entry.name: (entry.priority, position) for position, entry in enumerate(entries)}
        if owner not in places:
            raise InvalidError(f"service {owner} is not in the assignment of this router")
        try:
            description = json.loads((self._paths.services / owner / "service.json").read_bytes())
            return Grant.parse(description.get("may", {}), *places[owner])
        except (OSError, ValueError, AttributeError) as error:
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


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when told to end, 1 when the agent cannot start, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="isdf-agent", description="Runs an ISP's services on this router.")
    parser.add_argument("--version", action="version", version=f"isdf-agent {__version__}")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the router's files lie (default: /)")
    parser.add_argument("--verbose", action="store_true", help="log more")
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, format="isdf-agent: %(levelname)s: %(message)s"
    )
    os.umask(0o077)
    paths = Paths(args.root)
    try:
        config = load(paths.config)
        Agent(config, paths, _connect(paths.ubus)).run()
    except IsdfError as error:
        print(f"isdf-agent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
