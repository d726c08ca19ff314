"""What each command of `isdf-manager` does; the arguments are those of `cli.parser`."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from isdf.errors import FailedError, InvalidError, IsdfError
from isdf.formats import usign

from . import audit, authority, catalogue, devices, publications, storage
from . import status as status_
from .clock import format_time
from .home import Config, Home
from .orders import Change, Orders
from .push import NeverSeenError, Push

NO_DEVICE = "there is no device yet; 'isdf-manager device add NAME' makes one"


def version() -> str:
    return importlib.metadata.version("isdf")


class Parts:
    """The parts of the manager in the folder `home`, each made when a command needs it."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.who = audit.actor()

    def check_home(self) -> Config:
        """`InvalidError` where the folder is no manager's home; else its configuration."""
        return self.config

    def close(self) -> None:
        if "store" in self.__dict__:
            self.store.close()

    @cached_property
    def config(self) -> Config:
        return self.home.config()

    @cached_property
    def store(self) -> storage.Storage:
        return self.home.storage(self.config)

    @cached_property
    def published(self) -> publications.Publications:
        return publications.Publications(lambda: self.home.keyring.assignment)

    @cached_property
    def orders(self) -> Orders:
        return Orders(self.store, self.published, self.config.provision, self.who)

    @cached_property
    def catalogue_key(self) -> usign.PublicKey:
        return usign.PublicKey.parse(self.home.keyring.read().keys.catalogue_key)

    @cached_property
    def devices(self) -> devices.Devices:
        return devices.Devices(self.store, self.catalogue_key, self.who)

    def catalogue_secret(self, file: Path | None) -> usign.SecretKey:
        """The catalogue's secret key, from `file` where it is given."""
        return catalogue.catalogue_key(file or self.home.catalogue_key, self.catalogue_key)


def say(text: str, end: str = "\n") -> None:
    """A line of progress, at once also when it goes into a pipe."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # Who reads has what it wanted (`| grep -q`, `| head`); what is under way is done to its end all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def init(parts: Parts, arguments: argparse.Namespace) -> None:
    own = own_authority(arguments)
    parts.home.init(arguments.url, own, arguments.database or os.environ.get("ISDF_MANAGER_DATABASE"))
    say(f"{parts.home.path} is a manager's home now; routers will call {arguments.url}")
    say(f"keep {parts.home.catalogue_key} away from the machine that serves: it can bring code to every router")


def own_authority(arguments: argparse.Namespace) -> authority.Authority | None:
    """The operator's own authority, where the command line names one."""
    if arguments.authority is None:
        if arguments.authority_key is not None:
            raise InvalidError("--authority-key is the key of --authority, which is missing")
        return None
    return authority.read(arguments.authority, arguments.authority_key)


def publish(parts: Parts, arguments: argparse.Namespace) -> None:
    key = parts.catalogue_secret(arguments.key)
    done = catalogue.Catalogue(parts.store, parts.who).publish(arguments.folder, key, time.time())
    if done.new:
        say(f"published {done.service} {done.version}: {done.filename}, {done.size} bytes")
    else:
        say(f"{done.service} {done.version} is published already, with the same content")


def subscribe(parts: Parts, arguments: argparse.Namespace) -> int:
    change = parts.orders.subscribe(
        arguments.device, arguments.service, arguments.config, arguments.length, arguments.until
    )
    until = format_time(change.until, "cancelled")
    return _follow(parts, arguments, change, "provisioned", f"sold until {until}, order {change.order}")


def configure(parts: Parts, arguments: argparse.Namespace) -> int:
    change = parts.orders.configure(arguments.device, arguments.service, arguments.config)
    return _follow(parts, arguments, change, "provisioned", "configured")


def unsubscribe(parts: Parts, arguments: argparse.Namespace) -> int:
    change = parts.orders.unsubscribe(arguments.device, arguments.service)
    return _follow(parts, arguments, change, "withdrawn", "cancelled", ends=True)


def _follow(
    parts: Parts, arguments: argparse.Namespace, change: Change, provisioned: str, changed: str, ends: bool = False
) -> int:
    """Tell what was done, push, and tell what comes of it; the order stands whatever the router makes of it."""
    owed = change.trouble and (
        f"{change.trouble}; the core still holds order {change.order}, 'serve' goes on trying to withdraw it"
    )
    if change.provision_ms is not None:
        say(f"{provisioned} in {change.provision_ms:.0f} ms")
    say(changed)
    if arguments.no_push:
        say(f"not pushed: {arguments.device} gets it with its next pull")
    else:
        try:
            Push(parts.store, say).deliver(arguments.device, change.serial, arguments.service, ends)
        except NeverSeenError as error:
            say(f"not pushed: {error}; it gets the change with its first pull")
        except IsdfError as error:
            state = "is cancelled" if ends else "stands"
            said = f"{error} (order {change.order} {state}; 'isdf-manager status' tells more)"
            raise FailedError("; ".join(filter(None, (said, owed)))) from None
    if owed:
        raise FailedError(owed)
    return 0


def push(parts: Parts, arguments: argparse.Namespace) -> None:
    now = time.time()
    with parts.store.write() as connection:
        row = devices.find(connection, arguments.device)
        due = parts.published.is_due(row.renew_at, row.signer, now)
        serial = parts.published.make(connection, arguments.device, now)  # each push has a publication of its own
    Push(parts.store, say).deliver(arguments.device, serial, same_as=None if due else row.serial)


def status(parts: Parts, arguments: argparse.Namespace) -> None:
    now = time.time()
    with parts.store.read() as connection:
        if arguments.device:
            devices.find(connection, arguments.device)
        collected = status_.collect(connection, now, arguments.device)
    if arguments.json:
        say(json.dumps({"time": now, "devices": collected}, indent=1))
    elif collected:
        say(status_.as_table(collected, now))
    else:
        say(NO_DEVICE)


def audit_log(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        rows = audit.entries(connection, arguments.device, arguments.last)
        if not rows and arguments.device:
            devices.find(connection, arguments.device)  # one that was removed has its rows yet
        for row in rows:
            detail = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in row.detail.items())
            words = (format_time(row.time), row.actor, row.action, row.device, row.service, detail)
            say("  ".join(filter(None, words)))
    if not rows:
        say("nothing was changed yet")


def serve(parts: Parts, arguments: argparse.Namespace) -> None:
    from .server import Server  # Granian, which no other command needs

    parts.home.keyring.check()  # what is missing is said before the port is open
    listen = tuple(arguments.listen or parts.config.listen)
    with parts.store.serving():
        server = Server(parts.home, parts.config, listen)
        for doubt in doubts(parts):
            print(f"isdf-manager: warning: {doubt}", file=sys.stderr)
        say(f"serving {parts.home.path} on {', '.join(listen)} (process {os.getpid()})")
        server.run()


def doubts(parts: Parts) -> Iterator[str]:
    """What is allowed in manager.yaml, and hardly meant."""
    config = parts.config
    if config.tls == "none" and not config.trusted_proxies:
        yield (
            "'tls: none' without 'trusted_proxies': all routers seem to call from the proxy's address, so their limits "
            "are one, and pushes go to the proxy"
        )
    with parts.store.read() as connection:
        published = catalogue.names(connection)
    for service in sorted(set(config.provision) - set(published)):
        yield f"'provision' names a hook of {service!r}, and no such service is published"


def backup(parts: Parts, arguments: argparse.Namespace) -> None:
    parts.store.copy(arguments.file)
    say(f"copied the database to {arguments.file} (mode 0600); keep the folder 'keys' and manager.yaml beside it")
