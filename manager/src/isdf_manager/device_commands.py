"""What the commands `isdf-manager device ...` do; the arguments are those of `cli.parser`."""

from __future__ import annotations

import argparse
import json
import sys
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
from .commands import NO_DEVICE, Parts, say


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of a router: rates, the port of the pushes, and what is for its first file alone."""

    rates: dict[str, int] | None
    push_port: int | None
    factory: dict[str, str | list[str]]  # as `devices.uci` takes it


def device_add(parts: Parts, arguments: argparse.Namespace) -> None:
    given = _given(arguments)
    port = given.push_port or PUSH_PORT
    with _file(arguments.uci) as write:
        code = parts.devices.add(arguments.name, port, time.time(), given.rates, given.factory)
        write(devices.uci(parts.config.url, code, port, given.rates, given.factory))
    _told(parts, arguments.uci, f"added {arguments.name}", code)


def device_replace(parts: Parts, arguments: argparse.Namespace) -> None:
    given = _given(arguments)
    with _file(arguments.uci) as write:
        code, row = parts.devices.replace(arguments.name, given.push_port, given.rates, given.factory)
        write(devices.uci(parts.config.url, code, row.push_port, row.line, row.factory))
    done = f"{row.name} gets another router; the one before works until this code is used"
    _told(parts, arguments.uci, done, code)


def _given(arguments: argparse.Namespace) -> Given:
    rates = devices.parse_line(arguments.line) if arguments.line else None
    options = devices.parse_options(arguments.set)
    port = options.pop("push_port", None)
    words = {"wan": arguments.wan, "lan": arguments.lan, "push_from": devices.parse_push_from(arguments.push_from)}
    factory = {key: value for key, value in words.items() if value not in (None, [])} | options
    for name in (factory.get("wan", "wan"), *factory.get("lan", ())):
        if not name or not name.isprintable() or "'" in name or " " in name:
            raise InvalidError("--wan and --lan take names of network devices such as 'eth0' or 'br-lan'")
    if factory and arguments.uci is None:
        first = next(iter(factory))
        option = f"--set {first}" if first in options else f"--{first.replace('_', '-')}"
        raise InvalidError(
            f"{option} is for the file that --uci writes; add --uci FILE, or set it in the router's /etc/config/isdf"
        )
    return Given(rates, int(port) if port else None, factory)


@contextmanager
def _file(file: Path | None) -> Iterator[Callable[[str], object]]:
    """Writes `file` (None: none is wanted), which is there before anything else is done, and only if all of it is."""
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


def _told(parts: Parts, file: Path | None, done: str, code: str) -> None:
    say(done)
    if file is not None:
        say(f"its router's first configuration is {file}: put it at /etc/config/isdf")
    else:
        say(f"on its router: isdf-agent enroll {parts.config.url} CODE")
    say(f"claim code: {code}")


def device_list(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        names = connection.execute(sa.select(storage.device.c.name).order_by(storage.device.c.name)).scalars().all()
    for name in names:
        say(name)
    if not names:
        print(NO_DEVICE, file=sys.stderr)  # beside the output, which is names alone


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
        what = f"{service['service']} {service['version'] or service['running_version']}"
        if service["order"] is None:
            say(f"{'service:':14} {what} is {service['state']}, {service['why_not']}")
        else:
            until = format_time(service["until"], "cancelled")
            say(f"{'service:':14} {what} until {until}, order {service['order']}, {config}")


def device_remove(parts: Parts, arguments: argparse.Namespace) -> None:
    parts.devices.remove(arguments.name)
    say(
        f"removed {arguments.name}; its router keeps what it has until its assignment expires, and what was sold "
        "without an end for its offline_grace (14 days by default) after that"
    )


def device_log(parts: Parts, arguments: argparse.Namespace) -> None:
    with parts.store.read() as connection:
        devices.find(connection, arguments.name)
        contact = storage.contact
        report = connection.execute(sa.select(contact.c.report).where(contact.c.device == arguments.name)).scalar()
    told = reports.told_by(report, arguments.name, arguments.service)
    state = f"is {told['state']}"
    if told["since"]:
        state += f" since {format_time(told['since'])}"
    elif told["state"] == "failed":
        state = "failed, it never ran"
    ended = "" if told["exit"] is None else f", exit status {told['exit']}"
    say(f"{arguments.service} {told['version'] or ''} {state}{ended}")
    if told["error"]:
        say(told["error"])
    if told["log"]:
        say(told["log"].rstrip("\n"))


def _enrolled(row: sa.Row) -> str:
    if row.claimed_at is not None:
        return format_time(row.claimed_at)
    return "yes; another router is awaited" if row.device_key else "no; its claim code is not used yet"
