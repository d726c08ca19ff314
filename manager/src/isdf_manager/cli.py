"""The command `isdf-manager`: all that the operator does. Exit status 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from isdf import errors

from . import clock, commands, device_commands, key_commands
from .home import DEFAULT_URL

DESCRIPTION = "The services manager: publish services, sell them to devices, serve the devices' feeds."


def parser() -> argparse.ArgumentParser:
    """The command line; each subcommand's `run` is a function of `commands`."""
    top = argparse.ArgumentParser("isdf-manager", description=DESCRIPTION, allow_abbrev=False)
    top.add_argument(
        "--home", type=Path, default=os.environ.get("ISDF_MANAGER_HOME", "."),
        help="folder of the manager's database, keys and manager.yaml (default: ISDF_MANAGER_HOME, or here)",
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"isdf-manager {commands.version()}")
    sub = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run, text: str, into=sub) -> argparse.ArgumentParser:
        made = into.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        made.set_defaults(run=run)
        return made

    init = command("init", commands.init, "make the home folder: database, keys, manager.yaml")
    init.add_argument("--url", default=DEFAULT_URL, help="the manager's address as routers reach it (%(default)s)")
    init.add_argument(
        "--database", metavar="URL",
        help="make the tables there, such as postgresql+psycopg://isdf@/isdf (default: ISDF_MANAGER_DATABASE, or else "
        "SQLite in the home folder)",
    )  # fmt: skip
    _authority(init)

    publish = command("publish", commands.publish, "pack a service's folder, sign the package, add it to the catalogue")
    publish.add_argument("folder", type=Path, help="folder with service.yaml and service.py")
    _catalogue_key(publish)

    device = sub.add_parser("device", help="add, list, show and remove devices").add_subparsers(
        metavar="COMMAND", required=True
    )
    add = command("add", device_commands.device_add, "enter a device; prints the claim code for its router", device)
    add.add_argument("name", help="a-z, 0-9, '-', '_', '.'; up to 32")
    replace = command(
        "replace", device_commands.device_replace, "a new claim code for another router of a device", device
    )
    replace.add_argument("name")
    for made in (add, replace):
        _factory(made)
    command("list", device_commands.device_list, "name all devices", device)
    show = command("show", device_commands.device_show, "what is known of a device", device)
    show.add_argument("name")
    log = command("log", device_commands.device_log, "what a service printed last before it failed", device)
    log.add_argument("name", metavar="device")
    log.add_argument("service")
    remove = command("remove", device_commands.device_remove, "forget a device that has no services", device)
    remove.add_argument("name")

    keys = sub.add_parser("keys", help="show and replace the keys that routers trust").add_subparsers(
        metavar="COMMAND", required=True
    )
    command("show", key_commands.keys_show, "the keys statement that is in force, and the server's certificate", keys)
    rotate = keys.add_parser("rotate", help="replace a key by a new keys statement").add_subparsers(
        metavar="KEY", required=True
    )
    _catalogue_key(
        command("assignment", key_commands.rotate_assignment, "replace the key that signs assignments", rotate)
    )
    other = command(
        "authority", key_commands.rotate_authority, "replace the certificate authority, in two steps", rotate
    )
    other.add_argument("--finish", action="store_true", help="the second step: trust the new one alone")
    _authority(other)
    _catalogue_key(other)

    subscribe = command("subscribe", commands.subscribe, "sell a service to a device: provision, publish, push")
    subscribe.add_argument("device")
    subscribe.add_argument("service")
    subscribe.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="sites=a,b rate=200kBps"
    )
    end = subscribe.add_mutually_exclusive_group()
    end.add_argument(
        "--for", dest="length", type=_argument(clock.parse_length), metavar="LENGTH", help="such as 2h, 90m, 7d"
    )
    end.add_argument(
        "--until", type=_argument(clock.parse_time), metavar="TIME", help="such as 2026-12-24T18:00Z or @1790000000"
    )

    configure = command("configure", commands.configure, "change the configuration of a service that a device has")
    configure.add_argument("device")
    configure.add_argument("service")
    configure.add_argument("config", nargs="+", metavar="KEY=VALUE", help="rate=400kBps; KEY= takes the key away")

    unsubscribe = command("unsubscribe", commands.unsubscribe, "end a service of a device")
    unsubscribe.add_argument("device")
    unsubscribe.add_argument("service")
    for made in (subscribe, configure, unsubscribe):
        made.add_argument("--no-push", action="store_true", help="leave it to the device's next pull")

    push = command("push", commands.push, "make a device pull now, and follow what it does")
    push.add_argument("device")

    status = command("status", commands.status, "what should run on each device, what does, and why not")
    status.add_argument("device", nargs="?")
    status.add_argument("--json", action="store_true", help="for programs")

    audit = command("audit", commands.audit_log, "the last changes: who, what, when")
    audit.add_argument("device", nargs="?")
    audit.add_argument("--last", type=_argument(_count), default=50, metavar="N", help="how many (%(default)s)")

    serve = command("serve", commands.serve, "serve feeds, assignments and reports; end passes on time")
    serve.add_argument(
        "--listen", action="append", metavar="ADDRESS:PORT", help="may be repeated; default: manager.yaml, [::]:8080"
    )

    backup = command("backup", commands.backup, "copy the database while everything runs (not the keys)")
    backup.add_argument("file", type=Path)
    return top


def _factory(made: argparse.ArgumentParser) -> None:
    """What goes into the configuration of a router that has none yet."""
    made.add_argument(
        "--uci", type=Path, metavar="FILE", help="write the router's first /etc/config/isdf there (mode 0600)"
    )
    made.add_argument(
        "--line", metavar="down=..,up=..,base_down=..,base_up=..", help="rates: kbit/s, or 8mbit, 150kBps"
    )
    made.add_argument("--wan", metavar="DEVICE", help="for FILE: network device towards the ISP (wan)")
    made.add_argument(
        "--lan", action="append", metavar="DEVICE", help="for FILE: network device of a LAN; may be repeated (br-lan)"
    )
    made.add_argument(
        "--push-from", action="append", default=[], metavar="ADDRESS",
        help="for FILE: address of the manager that the router's firewall lets pushes in from; may be repeated (the "
        "URL's host, where it is an address)",
    )  # fmt: skip
    made.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE",
        help="option of the agent, as pull_interval=600, for FILE; push_port=9010 without one, too",
    )  # fmt: skip


def _authority(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--authority", type=Path, metavar="FILE", help="your own certificate authority, PEM (one is made)"
    )
    made.add_argument("--authority-key", type=Path, metavar="FILE", help="its key, PEM without a password")


def _catalogue_key(made: argparse.ArgumentParser) -> None:
    made.add_argument("--key", type=Path, help="file of the catalogue key (default: keys/catalogue.sec)")


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors are one sentence on standard error."""
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:
        commands.say("", end="")  # the help may have a reader who has enough
        return end.code if isinstance(end.code, int) else 2
    parts = commands.Parts(Path(arguments.home))
    try:
        if arguments.run is not commands.init:
            parts.check_home()
        return arguments.run(parts, arguments) or 0
    except (errors.IsdfError, OSError) as error:
        print(f"isdf-manager: {error}", file=sys.stderr)
        return 2 if type(error) is errors.InvalidError else 1
    except KeyboardInterrupt:
        print("isdf-manager: interrupted; 'isdf-manager status' tells what was done", file=sys.stderr)
        return 1
    finally:
        parts.close()


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise errors.InvalidError(f"{text!r} is not a number from 1 on")
    return int(text)


def _argument(parse):
    def parsed(text: str):
        try:
            return parse(text)
        except errors.InvalidError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
