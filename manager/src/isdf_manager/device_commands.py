"""What the commands `isdf-manager device ...` do; the arguments are those of `cli.parser`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from isdf.errors import InvalidError
from isdf.options import PUSH_PORT

from . import devices, reports, signing, storage
from . import status as status_
from .clock import format_time
from .commands import Parts, say


@dataclass(frozen=True, slots=True)
class Factory:
    """What a router is to be told from the beginning beside its claim code, and the file (None: no file is wanted)."""

    line: devices.Line | None
    options: dict[str, str]
    push_from: list[str]
    file: Path | None

    @property
    def push_port(self) -> int | None:
        return int(self.options["push_port"]) if "push_port" in self.options else None

    @property
    def rates(self) -> dict[str, int] | None:
        return self.line and self.line.rates


def device_add(parts: Parts, arguments: argparse.Namespace) -> None:
    factory = _factory(parts, arguments)
    with _file(factory) as write:
        code = parts.devices.add(arguments.name, factory.push_port or PUSH_PORT, time.time(), factory.rates)
        write(devices.uci(parts.config.url, code, factory.line, factory.options, factory.push_from))
    _told(parts, factory, f"added {arguments.name}", code)


def device_replace(parts: Parts, arguments: argparse.Namespace) -> None:
    factory = _factory(parts, arguments)
    with _file(factory) as write:
        code, row = parts.devices.replace(arguments.name, factory.push_port, factory.rates)
        names = _networks(arguments)
        line = factory.line or (row.line and devices.Line(row.line, names[0], names[1:]))
        options = {"push_port": str(row.push_port)} if row.push_port != PUSH_PORT else {}
        write(devices.uci(parts.config.url, code, line, options | factory.options, factory.push_from))
    _told(parts, factory, f"{row.name} gets another router; the one before works until this code is used", code)


def _factory(parts: Parts, arguments: argparse.Namespace) -> Factory:
    names, line = _networks(arguments), None
    if arguments.line:
        line = devices.Line(devices.parse_line(arguments.line), names[0], names[1:])
    options = devices.parse_options(arguments.set)
    push_from = devices.parse_push_from(arguments.push_from, parts.config.url)
    return Factory(line, options, push_from, arguments.uci)


def _networks(arguments: argparse.Namespace) -> tuple[str, ...]:
    names = (arguments.wan, *(arguments.lan or ["br-lan"]))
    if any(not n or not n.isprintable() or "'" in n or " " in n for n in names):
        raise InvalidError("--wan and --lan take names of network devices such as 'eth0' or 'br-lan'")
    return names


@contextmanager
def _file(factory: Factory) -> Iterator[Callable[[str], object]]:
    """Writes the file of `factory`, which is there before anything else is done, and only if all of it is done."""
    file = factory.file
    if file is None:
        yield lambda text: None
        return
    try:
        signing.write_new(file, "", 0o600)
    except FileExistsError:
        raise InvalidError(f"{file} is there already; move it away, or name another file with --uci") from None
    except OSError as error:
        raise InvalidError(f"{file} cannot be made: {error.strerror}; name another file with --uci") from None
    try:
        yield file.write_text
    except BaseException:
        file.unlink()
        raise


def _told(parts: Parts, factory: Factory, done: str, code: str) -> None:
    say(done)
    if factory.file is not None:
        say(f"its router's first configuration is {factory.file}: put it at /etc/config/isdf")
    else:
        say(f"on its router: isdf-agent enroll {parts.config.url} CODE")
    say(f"claim code: {code}")


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
        ("enrolled", _enrolled(row)),
        ("address", seen["address"] or "not seen yet"),
        ("push port", row.push_port),
        ("last contact", format_time(seen["last_contact"], "never")),
        ("agent", seen["agent"] or "-"),
        ("assignment", f"{seen['serial']} (pulled {seen['pulled'] or 'none'}, applied {seen['applied'] or 'none'})"),
        ("feed", f"{parts.config.url}/feed/{row.name}/{row.feed}" if row.feed else "-"),
    ):
        say(f"{key + ':':14} {value}")
    for service in seen["services"]:
        config = json.dumps(service["configuration"], ensure_ascii=False)
        what = f"{service['service']} {service['version'] or ''} until {format_time(service['until'], 'cancelled')}"
        say(f"{'service:':14} {what}, order {service['order']}, {config}")


def device_remove(parts: Parts, arguments: argparse.Namespace) -> None:
    parts.devices.remove(arguments.name)
    say(f"removed {arguments.name}; its router keeps what it has until its assignment expires")


def device_log(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        devices.find(connection, arguments.name)
        contact = storage.contact
        report = connection.execute(sa.select(contact.c.report).where(contact.c.device == arguments.name)).scalar()
    told = reports.told_by(report, arguments.name, arguments.service)
    since = format_time(told["since"] or None, "an unknown time")
    ended = "" if told["exit"] is None else f", exit status {told['exit']}"
    say(f"{arguments.service} {told['version'] or ''} is {told['state']} since {since}{ended}")
    if told["error"]:
        say(told["error"])
    if told["log"]:
        say(told["log"].rstrip("\n"))


def _enrolled(row: sa.Row) -> str:
    if row.claimed_at is not None:
        return format_time(row.claimed_at)
    return "yes; another router is awaited" if row.device_key else "no; its claim code is not used yet"
