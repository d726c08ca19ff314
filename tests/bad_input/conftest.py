"""One emulated ISP for each module: a home with a good service that runs through everything that is done to it.

What every test here shows besides its own behaviour: nothing was lost, and what ran runs on (`untouched`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from bad_input.broken import READY_TIMEOUT
from isdf import ubus
from premises.download import Download
from premises.home import Home
from premises.host import wait_until
from premises.manager import FOLDER
from premises.premises import Premises

MAY = "{add_class: {max: 2, rate: 1600kbit}, add_class_member: {max: 4}}"
_MANIFEST = """
name: {name}
version: "{version}"
title: Made for a test
description: Made for a test
may: {may}
configuration:
  type: object
  properties: {{rate: {{type: string, format: rate}}, host: {{type: string}}}}
"""
# SQLite would follow the links of /proc to this machine's own file.
_SQL = """
import json, sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as connection:
    print(json.dumps(connection.execute(sys.argv[2], json.loads(sys.argv[3])).fetchall()))
"""
_DESK = """
import json, sys
from isdf_manager.cli import main
sys.exit(max(main(words) for words in json.loads(sys.argv[1])))
"""
_RENEW = f"""
import pathlib, time
from isdf_manager.commands import Parts
parts = Parts(pathlib.Path("{FOLDER}"))
with parts.store.write() as connection:
    parts.published.renewed(connection, "home1", time.time())
"""
_BEGINNING = "import os, signal, sys, threading, time\nfrom isdf.sdk import Flow, Service\n\n\n"
GOOD = """
class Good(Service):
    def configure(self, rate="80kbit", host=None):
        self.control.add_class("lane", rate=rate)
        self.control.add_class_member("lane", Flow(host=host) if host else Flow(remote="198.51.100.200"))
"""


class Isp:
    """The operator's desk and one home; what is not told to the router by a push is fetched by `pull`."""

    def __init__(self, net: Premises) -> None:
        self.net = net
        self.home: Home = net.home(1)
        self.router = self.home.router

    # -- the operator

    def manager(self, *words: str) -> subprocess.CompletedProcess:
        return self.net.operator(list(words), check=False)

    def desk(self, *commands: list[str]) -> None:
        """Many commands of `isdf-manager` in one process."""
        argv = [sys.executable, "-c", _DESK, json.dumps(commands)]
        self.net.manager.run(argv, env={"ISDF_MANAGER_HOME": FOLDER})

    def publish(self, name: str, code: str = GOOD, version: str = "1.0.0", may: str = MAY) -> None:
        """Publish a service of that code; `Flow`, `Service`, os, signal, sys, threading and time are imported."""
        self.desk(self.publishing(name, code, version, may))

    def publishing(self, name: str, code: str = GOOD, version: str = "1.0.0", may: str = MAY) -> list[str]:
        """The command that publishes it; its folder is at the manager's host."""
        folder = f"/root/services/{name}"
        self.net.manager.write(f"{folder}/service.yaml", _MANIFEST.format(name=name, version=version, may=may))
        code = _BEGINNING + textwrap.dedent(code).lstrip()
        self.net.manager.write(f"{folder}/service.py", code)
        return ["publish", folder]

    def sell(self, name: str, *config: str) -> None:
        self.desk(self.selling(name, *config))

    def selling(self, name: str, *config: str) -> list[str]:
        return ["subscribe", "home1", name, *(["--config", *config] if config else []), "--no-push"]

    def end(self, *names: str) -> None:
        self.desk(*(["unsubscribe", "home1", name, "--no-push"] for name in names))
        self.pull()

    def pull(self) -> dict:
        """Let the router pull, and wait until it has done what it can and said so; its report."""
        asked = time.time()
        self.ubus("isdf", "pull")
        wait_until(lambda: self._told_after(asked), 60, "a report")
        return self.report()

    def _told_after(self, asked: float) -> bool:
        """Whether nothing that was sold or published until `asked` is still on its way, and the router said so."""
        return (
            self._contact("pulled_at") > asked
            and self._contact("reported_at") > asked
            and not any(service["state"] == "starting" for service in self.report()["services"])
        )

    def reported_at(self) -> float:
        return self._contact("reported_at")

    def renew(self) -> None:
        """Make the publication that the next pull would make."""
        self.net.manager.run([sys.executable, "-c", _RENEW], env={"ISDF_MANAGER_HOME": FOLDER})

    def report(self) -> dict:
        """What the router told the manager last."""
        return json.loads(self._contact("report"))

    def told(self, name: str) -> dict:
        """What the manager knows of a service on the home."""
        return next(service for service in self.report()["services"] if service["name"] == name)

    def _contact(self, column: str):
        return self.database(f"SELECT {column} FROM contact WHERE device = 'home1'")[0][0]

    def database(self, statement: str, *values) -> list[list]:
        """A statement on the manager's database, as somebody with its disk can make it."""
        argv = [sys.executable, "-c", _SQL, f"{FOLDER}/manager.db", statement, json.dumps(values)]
        return json.loads(self.net.manager.run(argv).stdout)

    # -- the router

    def ubus(self, path: str, method: str, args: dict | None = None, user: str = "root") -> dict | int:
        """The reply of a call, or its status where that is not success; of root, or as that user of the router."""
        if user == "root":  # straight to its socket: a program in the router takes 50 times as long
            bus = ubus.connect(str(self.router.path("/tmp/run/ubus/ubus.sock")))
            try:
                return bus.call(path, method, args or {}, timeout=60)
            except ubus.StatusError as error:
                return int(error.status)
            finally:
                bus.close()
        become = ["setpriv", f"--reuid={user}", "--regid=isdf", "--clear-groups"]
        done = self.router.run([*become, "ubus", "-S", "call", path, method, json.dumps(args or {})], check=False)
        return done.returncode or (json.loads(done.stdout) if done.stdout.strip() else {})

    def status(self) -> dict:
        return self.ubus("isdf", "status")

    def classes(self, owner: str) -> dict[str, dict]:
        """The classes of an owner by name."""
        return {c["class"]: c for c in self.ubus("isdf.control", "list")["classes"] if c["owner"] == owner}

    def asked(self, owner: str) -> dict[str, dict]:
        """The same without the addresses of hosts, which change by themselves."""
        found = self.classes(owner)
        for member in (member for each in found.values() for member in each["members"]):
            member.pop("addresses", None)
        return found

    def carried(self, owner: str) -> int:
        """Bytes that the classes of an owner have carried towards the home since they were made."""
        return sum(c["down_bytes"] for c in self.status()["control"]["classes"] if c["owner"] == owner)

    def pids(self, name: str) -> list[int]:
        """Processes of a service, as seen from here."""
        return self.router.find(f"isdf.sdk /usr/lib/isdf/services/{name}")

    def agent(self) -> list[int]:
        return self.router.find("isdf_agent.app")


@pytest.fixture(scope="module")
def isp() -> Iterator[Isp]:
    """A home that downloads from mirror A through pay-per-site."""
    with Premises(homes=1) as net:
        made = Isp(net)
        net.start_manager(hooks=())
        net.operator(["publish", str(net.feed / "pay-per-site")])
        net.add_device(made.home)
        text = made.router.read("/etc/config/isdf")
        option = f"config agent 'agent'\n\toption ready_timeout '{READY_TIMEOUT}'\n"
        made.router.write("/etc/config/isdf", text.replace("config agent 'agent'\n", option), 0o600)
        made.router.start_agent()
        wait_until(lambda: net.is_known(made.home), 20, "the first pull")
        made.sell("pay-per-site", "sites=mirror-a.example", "rate=40kBps")
        made.pull()
        download = Download(made.home.client(1), "http://mirror-a.example/600MB")
        wait_until(lambda: made.carried("pay-per-site") > 0, 10, "traffic in the class")
        yield made
        download.stop()


@pytest.fixture(autouse=True)
def untouched(isp: Isp) -> Iterator[None]:
    """What ran before runs on: the same processes, the same class, which carries on carrying."""
    agent, service, held = isp.agent(), isp.pids("pay-per-site"), isp.asked("pay-per-site")
    assert len(agent) == len(service) == len(held) == 1
    carried = isp.carried("pay-per-site")
    yield
    assert isp.agent() == agent
    assert isp.pids("pay-per-site") == service
    assert isp.asked("pay-per-site") == held
    wait_until(lambda: isp.carried("pay-per-site") > carried, 10, "more traffic in the class")
    assert "Traceback" not in isp.net.manager.read("/var/log/manager.log")
