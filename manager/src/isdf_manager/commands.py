"""What each command of `isdf-manager` does; the arguments are those of `cli.parser`."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from isdf.errors import FailedError, InvalidError, IsdfError
from isdf.wire import PUSH_PORT

from . import audit, catalogue, devices, publications, signing, storage
from . import status as status_
from .clock import format_time
from .home import Config, Home
from .orders import Change, Orders
from .push import NeverSeenError, Push


def version() -> str:
    return importlib.metadata.version("isdf")


class Parts:
    """The parts of the manager in the folder `home`, each made when a command needs it."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.who = audit.actor()

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
        return publications.Publications(signing.read_secret(self.home.assignment_key, "assignment"))

    @cached_property
    def orders(self) -> Orders:
        return Orders(self.store, self.published, self.config.provision, self.who)

    @cached_property
    def devices(self) -> devices.Devices:
        return devices.Devices(self.store, self.published, self.who)

    @property
    def public_keys(self) -> dict:
        paths = {"catalogue": self.home.catalogue_key, "assignment": self.home.assignment_key}
        return {name: signing.read_public(path.with_suffix(".pub"), name) for name, path in paths.items()}


def say(text: str) -> None:
    """A line of progress, at once also when it goes into a pipe."""
    print(text, flush=True)


def init(parts: Parts, arguments: argparse.Namespace) -> None:
    parts.home.init(arguments.url)
    say(f"{parts.home.path} is a manager's home now; routers will call {arguments.url}")
    say(f"keep {parts.home.catalogue_key} away from the machine that serves: it can bring code to every router")


def publish(parts: Parts, arguments: argparse.Namespace) -> None:
    key = catalogue.catalogue_key(arguments.key or parts.home.catalogue_key, parts.public_keys["catalogue"])
    done = catalogue.Catalogue(parts.store, parts.who).publish(arguments.folder, key, time.time())
    if done.new:
        say(f"published {done.service} {done.version}: {done.filename}, {done.size} bytes")
    else:
        say(f"{done.service} {done.version} is published already, with the same content")


def device_add(parts: Parts, arguments: argparse.Namespace) -> None:
    line = None
    names = (arguments.wan, *(arguments.lan or ["br-lan"]))
    if any(not n or not n.isprintable() or "'" in n or " " in n for n in names):
        raise InvalidError("--wan and --lan take names of network devices such as 'eth0' or 'br-lan'")
    if arguments.line:
        line = devices.Line(devices.parse_line(arguments.line), names[0], names[1:])
    options = devices.parse_options(arguments.set)
    push_from = devices.parse_push_from(arguments.push_from, parts.config.url)
    target = None if arguments.uci == "-" else Path(arguments.uci)
    if target is not None and (target.exists() or not target.parent.is_dir()):
        what = "is there already; move it away" if target.exists() else "is in no folder that exists"
        raise InvalidError(f"{target} {what}, or name another file with --uci")
    row = parts.devices.add(arguments.name, int(options.get("push_port", PUSH_PORT)), time.time())
    text = devices.uci(row, parts.config.url, parts.public_keys, line, options, push_from)
    if target is None:
        sys.stdout.write(text)
        return
    try:
        signing.write_new(target, text, 0o600)
    except OSError as error:
        parts.devices.remove(row.name)
        raise FailedError(f"{target} cannot be written: {error.strerror}; the device was not added") from None
    say(f"added {row.name}; its configuration is {target}: put it at /etc/config/isdf of the router")


def device_list(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        for name in connection.execute(sa.select(storage.device.c.name).order_by(storage.device.c.name)).scalars():
            say(name)


def device_show(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        row = devices.find(connection, arguments.name)
        seen = status_.collect(connection, time.time(), row.name)[0]
    for key, value in (
        ("name", row.name),
        ("added", format_time(row.created)),
        ("address", seen["address"] or "not seen yet"),
        ("push port", row.push_port),
        ("last contact", format_time(seen["last_contact"], "never")),
        ("agent", seen["agent"] or "-"),
        ("assignment", f"{seen['serial']} (pulled {seen['pulled'] or 'none'}, applied {seen['applied'] or 'none'})"),
        ("feed", f"{parts.config.url}/feed/{row.name}/{row.feed}"),
    ):
        say(f"{key + ':':14} {value}")
    for service in seen["services"]:
        config = json.dumps(service["configuration"], ensure_ascii=False)
        what = f"{service['service']} {service['version'] or ''} until {format_time(service['until'], 'cancelled')}"
        say(f"{'service:':14} {what}, order {service['order']}, {config}")


def device_remove(parts: Parts, arguments: argparse.Namespace) -> None:
    parts.devices.remove(arguments.name)
    say(f"removed {arguments.name}; its router keeps what it has until its assignment expires")


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
    if change.provision_ms is not None:
        say(f"{provisioned} in {change.provision_ms:.0f} ms")
    say(changed)
    if arguments.no_push:
        say(f"not pushed: {arguments.device} gets it with its next pull")
    else:
        try:
            Push(parts.store, say).deliver(arguments.device, change.serial, change.time, arguments.service, ends)
        except NeverSeenError as error:
            say(f"not pushed: {error}; it gets the change with its first pull")
        except IsdfError as error:
            raise FailedError(f"{error} (order {change.order} stands; 'isdf-manager status' tells more)") from None
    if change.trouble:
        raise FailedError(
            f"{change.trouble}; the core still holds order {change.order}, 'serve' goes on trying to withdraw it"
        )
    return 0


def push(parts: Parts, arguments: argparse.Namespace) -> None:
    now = time.time()
    with parts.store.write() as connection:
        devices.find(connection, arguments.device)
        serial = parts.published.renewed(connection, arguments.device, now)
    Push(parts.store, say).deliver(arguments.device, serial, now)


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
        say("there is no device yet; 'isdf-manager device add NAME' makes one")


def audit_log(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        for row in audit.entries(connection, arguments.device, arguments.last):
            detail = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in row.detail.items())
            words = (format_time(row.time), row.actor, row.action, row.device, row.service, detail)
            say("  ".join(filter(None, words)))


def serve(parts: Parts, arguments: argparse.Namespace) -> None:
    from .server import Server  # gunicorn, which no other command needs

    signing.read_secret(parts.home.assignment_key, "assignment")
    listen = tuple(arguments.listen or parts.config.listen)
    server = Server(parts.home, parts.config, listen)
    say(f"serving {parts.home.path} on {', '.join(listen)} (process {os.getpid()})")
    server.run()


def backup(parts: Parts, arguments: argparse.Namespace) -> None:
    if arguments.file.exists():
        raise InvalidError(f"{arguments.file} is there already; name a new file")
    parts.store.copy(arguments.file)
    say(f"copied the database to {arguments.file} (mode 0600); keep the folder 'keys' and manager.yaml beside it")
