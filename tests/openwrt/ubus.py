"""Stand-in for OpenWrt's `ubus` command: `python -m openwrt.ubus [-s SOCKET] [-t SECONDS] [-S] [-v] COMMAND ...`.

Commands list, call, subscribe, listen, send and wait_for; output and exit codes are those of the real one.
Reference: openwrt/ubus `cli.c`, openwrt/libubox `blobmsg_json.c`.
"""

import getopt
import json
import os
import sys

from isdf import ubus
from isdf.errors import IsdfError, UnavailableError
from isdf.loop import Loop
from isdf.ubus import Connection, Status, StatusError, blobmsg, message
from isdf.ubus.message import Attr

USAGE = """Usage: ubus [<options>] <command> [arguments...]
Options:
 -s <socket>:		Set the unix domain socket to connect to
 -t <timeout>:		Set the timeout (in seconds) for a command to complete
 -S:			Use simplified output (for scripts)
 -v:			More verbose output

Commands:
 - list [<path>]			List objects
 - call <path> <method> [<message>]	Call an object method
 - subscribe <path> [<path>...]	Subscribe to object(s) notifications
 - listen [<path>...]			Listen for events
 - send <type> [<message>]		Send an event
 - wait_for <object> [<object>...]	Wait for multiple objects to appear on ubus
"""
BAD_USAGE = -2
# The command knows the names of five types; the others are unknown to it.
TYPES = {"bool": "Boolean", "int": "Integer", "str": "String", "list": "Array", "dict": "Table"}


def format_json(value: object, indent: int = -1) -> str:
    """`value` as libubox prints it: tabs and line breaks from `indent` levels on, or none of it (-1)."""
    if isinstance(value, dict | list):
        inner = -1 if indent < 0 else indent + 1
        open_, close = "{}" if isinstance(value, dict) else "[]"
        before, after = ("", "") if indent < 0 else ("\n" + "\t" * inner, "\n" + "\t" * indent)
        if isinstance(value, dict):
            colon = ":" if indent < 0 else ": "
            items = [(_text(name) + colon if name else "") + format_json(item, inner) for name, item in value.items()]
        else:
            items = [format_json(item, inner) for item in value]
        return open_ + before + ("," + before).join(items) + after + close
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return f"{value:f}"
    return json.dumps(value)


def _text(text: str) -> str:
    short = {"\b": "\\b", "\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


class Command:
    def __init__(self, connection: Connection, timeout: int | None, simple: bool, verbose: bool) -> None:
        self._connection, self._loop = connection, Loop()
        self._timeout, self._simple, self._verbose = timeout, simple, verbose

    def list(self, *paths: str) -> int:
        if len(paths) > 1:
            return BAD_USAGE
        found = self._connection.objects(*paths)
        for path, methods in sorted(found.items()):
            if self._simple or not self._verbose:
                print(path)
                continue
            print(f"'{path}' @{self._connection.find(path):08x}")
            for method, args in methods.items():
                shown = ",".join(f'{_text(arg)}:"{TYPES.get(kind, "(unknown)")}"' for arg, kind in args.items())
                print(f"\t{_text(method)}:{{{shown}}}")
        return Status.NOT_FOUND if paths and not found else 0

    def call(self, *words: str) -> int:
        if not 2 <= len(words) <= 3:
            return BAD_USAGE
        path, method, *body = words
        args = _parse(*body)
        if args is None:
            return self._failed("call", words, Status.PARSE_ERROR)
        target = self._connection.find(path)
        if target is None:
            return Status.NOT_FOUND
        attrs = {Attr.OBJID: target, Attr.METHOD: method, Attr.DATA: blobmsg.encode(args)}
        self._connection.timeout = self._timeout or 30
        try:
            for got in self._connection.exchange(message.INVOKE, target, attrs):
                reply = blobmsg.decode(got.attrs[Attr.DATA])
                print(format_json(reply, -1 if self._simple else 0))
        except StatusError as error:
            return self._failed("call", words, error.status)
        return 0

    def listen(self, *patterns: str) -> int:
        for pattern in patterns or ("*",):
            try:
                self._connection.listen(pattern, self._print_event)
            except StatusError as error:
                self._complain(f"Error while registering for event '{pattern}': {error.name}")
                return -1
        return self._run()

    def subscribe(self, *paths: str) -> int:
        if not paths:
            self._complain("You need to specify an object to subscribe to")
            return -1
        for path in paths:
            if not self._connection.subscribe(path, self._print_event).present:
                self._complain(f"Error while registering for event '{paths[0]}': {Status.text(Status.NOT_FOUND)}")
                return -1
        return self._run()

    def send(self, *words: str) -> int:
        if not 1 <= len(words) <= 2:
            return BAD_USAGE
        data = _parse(*words[1:])
        if data is None:
            return Status.PARSE_ERROR
        self._connection.send(words[0], data)
        return 0

    def wait_for(self, *paths: str) -> int:
        if not paths:
            return BAD_USAGE
        pending = set(paths)

        def seen(path: object) -> None:
            pending.discard(path)
            if not pending:
                self._loop.stop()

        self._connection.listen("ubus.object.add", lambda _, data: seen(data.get("path")))
        for path in self._connection.objects():
            seen(path)
        if not pending:
            return 0
        self._loop.after(self._timeout or 30, self._loop.stop)
        self._connection.attach(self._loop)
        self._loop.run()
        return Status.TIMEOUT if pending else 0

    def _run(self) -> int:
        self._connection.attach(self._loop)
        if self._timeout:
            self._loop.after(self._timeout, self._loop.stop)
        self._loop.run()
        return 0

    def _print_event(self, event: str, data: dict) -> None:
        print(f'{{ "{event}": {format_json(data)} }}', flush=True)

    def _complain(self, text: str) -> None:
        if not self._simple:
            print(text, file=sys.stderr)

    def _failed(self, command: str, words: tuple[str, ...], status: int) -> int:
        # The status is the exit code on a terminal, its negative elsewhere.
        if not self._simple and not sys.stderr.isatty():
            print(f"Command failed: ubus {command} {' '.join(words)} ({Status.text(status)})", file=sys.stderr)
            return -status
        return status


def _parse(text: str = "{}") -> dict | None:
    try:
        table = json.loads(text)
    except ValueError:
        return None
    return table if isinstance(table, dict) else None


def main() -> int:
    try:
        options, words = getopt.gnu_getopt(sys.argv[1:], "vs:t:S")
    except getopt.GetoptError:
        options, words = [], []
    given = dict(options)
    commands = ("list", "call", "listen", "subscribe", "send", "wait_for")
    if not words:
        print(USAGE, file=sys.stderr)
        return 1
    simple = "-S" in given
    try:
        connection = ubus.connect(given.get("-s", "/var/run/ubus/ubus.sock"))
    except UnavailableError:
        if not simple:
            print("Failed to connect to ubus", file=sys.stderr)
        return -1
    name, *rest = words
    status = BAD_USAGE
    if name in commands:
        command = Command(connection, int(given.get("-t", 0)) or None, simple, "-v" in given)
        try:
            status = getattr(command, name)(*rest)
        except IsdfError as error:
            status = getattr(error, "status", Status.INVALID_ARGUMENT)
    sys.stdout.flush()
    if status > 0 and not simple:
        print(f"Command failed: {Status.text(status)}", file=sys.stderr)
    elif status == BAD_USAGE:
        print(USAGE, file=sys.stderr)
    return status


if __name__ == "__main__":
    try:
        code = main()
    except (KeyboardInterrupt, BrokenPipeError):
        code = 130
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code & 0xFF)
