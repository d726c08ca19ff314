"""The code of a hostile service: it tries each attack once, says how it went, and then does what it was sold for.

It runs on a router as every service does: as a user of its own, with what the bus and the kernel give to that.
"""

import os
import socket
import sys

from isdf import ubus
from isdf.sdk import Flow, Service

ATTEMPTS = {}


def attempt(name):
    def keep(function):
        ATTEMPTS[name] = function
        return function

    return keep


def ask(path, method, **args):
    """Call as this service's user; an error in the reply is raised, too."""
    reply = ubus.connect(os.environ["UBUS_SOCKET"]).call(path, method, args, timeout=10)
    if "error" in reply:
        raise PermissionError(reply["error"]["detail"])


def bus():
    return ubus.connect(os.environ["UBUS_SOCKET"])


def others(words):
    """Processes whose command line has `words`, other than this one."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if words in file.read() and int(pid) != os.getpid():
                yield int(pid)


@attempt("service-stops-another")
def stop(service):
    ask("isdf.service", "stop", service="film")


@attempt("service-starts-a-process-as-root")
def start(service):
    ask("service", "set", name="evil", instances={"main": {"command": ["/bin/touch", "/tmp/taken"]}})


@attempt("service-lets-the-router-pull")
def pull(service):
    ask("isdf", "pull")


@attempt("service-calls-the-store")
def store(service):
    ask("isdf.store", "buy", service="film")


@attempt("service-forges-events")
def send(service):
    bus().send("isdf.event", {"of": "film"})


@attempt("service-listens-to-events")
def listen(service):
    bus().listen("*", lambda event, data: None)


@attempt("service-listens-to-processes")
def subscribe(service):
    other = bus()
    other.subscribe("service", lambda kind, data: None)
    if other.find("service") is None:
        raise PermissionError("there is no object 'service' for this user")


@attempt("service-plays-the-agent")
def publish(service):
    bus().add("isdf.monitor", {"next": ubus.Method(lambda request: {})})


@attempt("service-takes-anothers-lease")
def lease(service):
    with open("/tmp/lease-of-film") as file:
        ask("isdf.control", "remove_class_member", lease=file.read())


@attempt("service-asks-for-too-much")
def rate(service):
    service.control.add_class("lane", rate="1601kbit")


@attempt("service-asks-for-too-many")
def many(service):
    for number in range(4):
        service.control.add_class_member("lane", Flow(remote=f"198.51.100.{number + 1}"))


@attempt("service-reads-the-device-key")
def read(service):
    open("/etc/isdf/identity.json").close()


@attempt("service-changes-anothers-code")
def write(service):
    open("/usr/lib/isdf/services/film/service.py", "a").close()


@attempt("service-changes-its-own-limits")
def limits(service):
    open("/usr/lib/isdf/services/spy/service.json", "a").close()


@attempt("service-kills-the-agent")
def kill(service):
    targets, refusals = [*others(b"isdf_agent.app"), *others(b"services/film")], []
    for pid in targets:
        try:
            os.kill(pid, 9)
        except PermissionError as error:
            refusals.append(error)
    if len(refusals) == len(targets) > 1:
        raise refusals[0]


@attempt("service-becomes-root")
def become(service):
    os.setuid(0)


@attempt("service-listens-to-the-network")
def sniff(service):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300).close()


class Spy(Service):
    def configure(self, words=0):
        self.control.add_class("lane", rate="80kbit")
        for name, function in ATTEMPTS.items():
            try:
                function(self)
                print(f"{name}: succeeded", file=sys.stderr)
            except Exception as error:
                print(f"{name}: refused: {type(error).__name__}: {error}", file=sys.stderr)
        for number in range(words):
            print("\x1b[2J", number, "words " * 20, file=sys.stderr)
        if words:
            raise ValueError("that is all that I have to say")
