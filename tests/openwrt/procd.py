"""Stand-in for OpenWrt's procd as far as it supervises: the ubus object `service`.

    python -m openwrt.procd --ubus SOCKET [--ubusd COMMAND] [--boot FILE] [--log FILE]

It starts ubusd (as the service `ubus`, as procd does), connects, and sets the services of FILE, a JSON list of
messages as `ubus call service set` takes them. What instances print goes to the log, each line as OpenWrt's logread
shows it, with time, priority, program and process; `openwrt.logread` reads it. SIGTERM ends the services, then ubusd,
then procd; killed in any other way it takes its processes with it.
Reference: openwrt/procd `service/service.c`, openwrt/ubox `log/logread.c`, `log/syslog.c`; `procd_instance` has the
supervised process.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from isdf import ubus
from isdf.errors import UnavailableError
from isdf.loop import Loop
from isdf.ubus import Method, Request, Status, StatusError

from .procd_instance import Description, Instance

PIECE = 4096  # bytes; a longer line is more than one
MESSAGE = 1023  # bytes that logd takes
CONNECT_AGAIN = 0.02  # seconds between two attempts to reach a ubusd that is starting


class Service:
    def __init__(self, procd: "Procd", name: str) -> None:
        self.name, self.instances = name, dict[str, Instance]()
        self.autostart, self.deleted, self.data = True, False, {}
        self._procd = procd

    def update(self, wanted: dict, add: bool) -> None:
        """Take over what `set` (or `add`, which leaves other instances alone) says."""
        if type(wanted.get("autostart")) is bool:
            self.autostart = wanted["autostart"]
        if type(wanted.get("instances")) is dict:
            old = {} if add else dict(self.instances)
            for name, table in wanted["instances"].items():
                if type(table) is dict:
                    old.pop(name, None)
                    self._instance(name, Description(table))
            for instance in old.values():
                instance.stop(halt=True)
        if type(wanted.get("data")) is dict:
            self.data = wanted["data"]
        self.deleted = False

    def _instance(self, name: str, wanted: Description) -> None:
        if name in self.instances:
            self.instances[name].update(wanted)
            return
        self.instances[name] = Instance(self._procd, self, name, wanted)
        if self.autostart:
            self.instances[name].start()

    def delete(self) -> None:
        self.data = {}
        for instance in list(self.instances.values()):
            instance.stop(halt=True)
        self.deleted = True
        self.stopped()

    def stopped(self) -> None:
        """An instance is gone; with the last of a deleted service the service goes."""
        if self.deleted and not self.instances and self._procd.services.pop(self.name, None):
            self._procd.notify("service.stop", {"service": self.name})

    def as_dict(self) -> dict:
        shown: dict = {}
        if not self.autostart:
            shown["autostart"] = False
        if self.data:
            shown["data"] = self.data
        if self.instances:
            known = sorted(self.instances.items())
            shown["instances"] = {name: instance.as_dict() for name, instance in known if instance.wanted.valid}
        return shown


class Procd:
    def __init__(self, socket: str, boot: list[dict], log: int) -> None:
        self.loop, self.services = Loop(), dict[str, Service]()
        self._socket, self._boot, self._log = socket, boot, log
        self._children: dict[int, Callable[[int], None]] = {}
        self._object: ubus.Object | None = None
        self._ending = False
        self.loop.on_signal(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self._end)

    # -- for instances ------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        self._write("daemon.notice procd: ", [text.encode()])

    def notify(self, event: str, data: dict) -> None:
        if self._object:
            self._object.notify(event, data)

    def watch_child(self, pid: int, ended: Callable[[int], None]) -> None:
        self._children[pid] = ended

    def follow(self, pipe: int, priority: str, ident: str) -> None:
        """Write what comes out of `pipe` to the log, line by line, until its end; what has no end of line is lost."""
        os.set_blocking(pipe, False)
        rest = bytearray()

        def read() -> None:
            try:
                data = os.read(pipe, 65536)
            except BlockingIOError:
                return
            rest.extend(data)
            if not data:
                self.loop.watch(pipe, None)
                os.close(pipe)
            lines = []
            while (end := rest.find(b"\n", 0, PIECE)) >= 0 or len(rest) >= PIECE:
                lines.append(bytes(rest[: PIECE if end < 0 else end]))
                del rest[: PIECE if end < 0 else end + 1]
            self._write(f"daemon.{priority} {ident}: ", lines)

        self.loop.watch(pipe, read)

    def _write(self, head: str, lines: list[bytes]) -> None:
        """Each line as syslog takes it, up to MESSAGE bytes with what syslog knows of it, without blanks at its end."""
        now, room = time.ctime(), MESSAGE - len("<30>Nov 20 12:10:12 ") - len(head.partition(" ")[2])
        whole = [f"{now} {head}".encode() + line.partition(b"\0")[0][:room] for line in lines]
        os.write(self._log, b"".join(line.rstrip() + b"\n" for line in whole))

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.pop(pid)(status)
        self._end_if_done()

    # -- life ---------------------------------------------------------------------------------------------------------

    def run(self, ubusd: str | None) -> None:
        if ubusd:
            instance = {"command": ubusd.split(), "respawn": ["3600", "1", "0"], "stdout": True, "stderr": True}
            self._set({"name": "ubus", "instances": {"instance1": instance}}, add=True)
        self._connect()
        self.loop.run()

    def _connect(self) -> None:
        if self._ending:
            return
        try:
            connection = ubus.connect(self._socket)
            self._object = connection.add("service", self._methods())
        except (UnavailableError, StatusError):
            self.loop.after(CONNECT_AGAIN, self._connect)
            return
        connection.attach(self.loop)
        for message in self._boot:
            try:
                self._set(message, add=False)
            except StatusError as error:
                self.say(f"{message}: {error}")

    def _end(self) -> None:
        self._ending = True
        for service in list(self.services.values()):
            if service.name != "ubus":
                service.delete()
        self._end_if_done()

    def _end_if_done(self) -> None:
        """ubusd goes last: services say goodbye over it."""
        if not self._ending:
            return
        if not self.services:
            self.loop.stop()
        elif self.services.keys() == {"ubus"} and not self.services["ubus"].deleted:
            self.services["ubus"].delete()
            self._end_if_done()

    # -- the object `service` -----------------------------------------------------------------------------------------

    def _methods(self) -> dict[str, Method]:
        described = {"name": "str", "script": "str", "instances": "dict", "triggers": "list", "validate": "list",
                     "autostart": "bool", "data": "dict"}  # fmt: skip
        return {
            "set": Method(lambda request: self._set(request.args, add=False), described),
            "add": Method(lambda request: self._set(request.args, add=True), described),
            "list": Method(self._list, {"name": "str", "verbose": "bool"}),
            "delete": Method(self._delete, {"name": "str", "instance": "str"}),
            "signal": Method(self._signal, {"name": "str", "instance": "str", "signal": "int"}),
            "event": Method(self._event, {"type": "str", "data": "dict"}),
            "state": Method(self._state, {"spawn": "bool", "name": "str"}),
        }

    def _set(self, wanted: dict, add: bool) -> None:
        name = wanted.get("name")
        if type(name) is not str:
            raise StatusError(Status.INVALID_ARGUMENT)
        known = self.services.get(name)
        if known:
            known.update(wanted, add)
            return
        self.services[name] = Service(self, name)
        self.services[name].update(wanted, add)
        self.notify("service.start", {"service": name})

    def _list(self, request: Request) -> dict:
        wanted = request.args.get("name")
        names = [wanted] if type(wanted) is str else sorted(self.services)
        return {name: self.services[name].as_dict() for name in names if name in self.services}

    def _delete(self, request: Request) -> None:
        service, instances = self._named(request)
        if instances is None:
            service.delete()
        else:
            instances[0].stop(halt=True)

    def _signal(self, request: Request) -> None:
        service, instances = self._named(request)
        number = request.args.get("signal")
        for instance in service.instances.values() if instances is None else instances:
            try:
                instance.signal(number if type(number) is int else signal.SIGHUP)
            except ProcessLookupError:
                raise StatusError(Status.NOT_FOUND) from None
            except OSError:
                raise StatusError(Status.INVALID_ARGUMENT) from None

    def _state(self, request: Request) -> None:
        spawn = request.args.get("spawn")
        if type(spawn) is not bool:
            raise StatusError(Status.INVALID_ARGUMENT)
        for instance in list(self._named(request)[0].instances.values()):
            if instance.running != spawn:
                if spawn:
                    instance.start()
                else:
                    instance.stop(halt=False)

    def _event(self, request: Request) -> None:
        event, data = request.args.get("type"), request.args.get("data")
        if type(event) is not str or type(data) is not dict:
            raise StatusError(Status.INVALID_ARGUMENT)
        self.notify("event.trigger", {"type": event, "data": data})
        if event == "config.change" and type(data.get("package")) is str:
            self.notify("config.change", {"config": data["package"]})

    def _named(self, request: Request) -> tuple[Service, list[Instance] | None]:
        """The service that a request names, and the instance if it names one."""
        service = self.services.get(str(request.args.get("name")))
        if not service:
            raise StatusError(Status.NOT_FOUND)
        name = request.args.get("instance")
        if type(name) is not str:
            return service, None
        if name not in service.instances:
            raise StatusError(Status.NOT_FOUND)
        return service, [service.instances[name]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="procd", description=__doc__.splitlines()[0])
    parser.add_argument("--ubus", required=True, metavar="SOCKET", help="where ubusd takes connections")
    parser.add_argument("--ubusd", metavar="COMMAND", help="start and supervise this ubusd")
    parser.add_argument("--boot", metavar="FILE", help="JSON list of `service set` messages to begin with")
    parser.add_argument("--log", metavar="FILE", help="append what instances print here instead of to stderr")
    args = parser.parse_args()
    log = os.open(args.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640) if args.log else sys.stderr.fileno()
    boot = json.loads(Path(args.boot).read_text()) if args.boot else []
    Procd(args.ubus, boot, log).run(args.ubusd)


if __name__ == "__main__":
    main()
