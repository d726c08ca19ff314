"""A manager in a folder of its own, and its parts around a clock and a core of the test."""

from __future__ import annotations

import functools
import io
import json
import shutil
import socket
import time
from pathlib import Path

import pytest
from werkzeug.test import Client

from isdf.formats import assignment, opkg_index, usign
from isdf_manager import accesslog, app, catalogue, cli, devices, publications, signing, storage
from isdf_manager.home import Home
from isdf_manager.orders import Orders
from isdf_manager.provision import Hook, HookError
from simulated_router import Listener, Router

cli.parser = functools.cache(cli.parser)  # each command would make it again, as a process of its own does
SERVICE_YAML = """\
name: {name}
version: "{version}"
title: Fast lane
description: The sites that you choose get a speed of their own.
may:
  add_class: {{max: 1}}
configuration:
  type: object
  additionalProperties: false
  required: [rate]
  properties:
    rate: {{type: string, format: rate}}
    sites: {{type: array, items: {{type: string, format: host}}, maxItems: 4}}
    night: {{type: object, additionalProperties: false, properties: {{limit: {{type: integer, minimum: 1}}}}}}
"""


class Manager:
    """A home folder, its command line (in this process) and its application."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self._capsys = folder, capsys
        self.path = folder / "manager"
        self.listeners: list[Listener] = []
        self.applications: list[app.Application] = []
        self.log = io.BytesIO()
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        """Run a command; its exit status. What it printed is in `out` and `err`."""
        self._capsys.readouterr()
        status = cli.main(["--home", str(self.path), *map(str, words)])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return status

    def ok(self, *words: str) -> str:
        assert self(*words) == 0, self.err
        return self.out

    def fails(self, *words: str, status: int = 1) -> str:
        """The one sentence of a command that fails with `status`."""
        assert self(*words) == status, (self.out, self.err)
        assert self.err.startswith("isdf-manager: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("isdf-manager: ").strip()

    def configure(self, **values) -> None:
        """Add keys to manager.yaml."""
        file = self.path / "manager.yaml"
        file.write_text(file.read_text() + "".join(f"{k}: {json.dumps(v)}\n" for k, v in values.items()))

    def service(self, name: str = "lane", version: str = "1.0.0", code: str = "pass\n") -> Path:
        """A service's folder."""
        folder = self.folder / "feed" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "service.yaml").write_text(SERVICE_YAML.format(name=name, version=version))
        (folder / "service.py").write_text(code)
        return folder

    @property
    def home(self) -> Home:
        return Home(self.path)

    def client(self, clock=time.time, uptime: float = 2) -> Client:
        """A new application; `uptime` is for how many seconds it runs."""
        application = app.Application(self.home, self.home.config(), accesslog.AccessLog(self.log), clock)
        application._authentication._begun -= uptime
        self.applications.append(application)

        def written(environ, start_response):
            answer = application.wsgi(environ, start_response)
            application.contacts.flush()  # what its thread does a moment later
            return answer

        return Client(written)

    def router(self, name: str = "home1", **more) -> Router:
        return Router(
            self.ok("device", "add", name, "--line", "down=8000,up=8000", *more.pop("add", ())), self.client(), **more
        )

    def listening(self, name: str = "home1", deaf: int = 0) -> Listener:
        """A router that has called in once and answers pushes."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        router = self.router(name, add=("--set", f"push_port={sock.getsockname()[1]}"))
        router.pull()
        router.report()
        self.listeners.append(Listener(router, sock, deaf))
        return self.listeners[-1]


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1_790_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Core:
    """The ISP's core: what it holds, by order. A fault is "before" (it does nothing), "after" (it does all, and says
    no) or "dies" (who called it is killed)."""

    longest, patiently = 30.0, Hook.patiently

    def __init__(self) -> None:
        self.holds: dict[str, dict] = {}
        self.faults: dict[str, str] = {}

    def call(self, request) -> None:
        fault = self.faults.get(request.verb)
        if fault != "before":
            if request.verb == "provision":
                self.holds[request.order] = request.configuration
            else:
                self.holds.pop(request.order, None)
        if fault == "dies":
            raise KeyboardInterrupt
        if fault:
            raise HookError("the core says no")


class World:
    """A manager's parts around a clock and a core of the test."""

    def __init__(self, folder, database: str | None = None) -> None:
        self.clock, self.core = Clock(), Core()
        self.key = signing.generate("assignment")
        self.store = storage.Storage(database or f"sqlite:///{folder / 'manager.db'}", durable=False)
        self.store.create()
        self.published = publications.Publications(lambda: self.key)
        self.orders = Orders(
            self.store, self.published, {"lane": self.core, "film": self.core}, "test", self.clock, self.clock.sleep
        )
        self.devices = devices.Devices(self.store, signing.generate("catalogue").public_key(), "test")
        self.code = self.devices.add("home1", 9009, self.clock())

    def publish(self, folder) -> None:
        catalogue.Catalogue(self.store, "test").publish(folder, signing.generate("catalogue"), self.clock())

    def settle(self) -> None:
        """What `serve` does by itself."""
        self.orders.settling.end_what_is_over()
        for order in self.orders.settling.owed():
            self.orders.settling.settle(order)

    def assigned(self) -> assignment.Assignment:
        """What the router would be given, verified."""
        with self.store.write() as connection:
            self.published.renewed(connection, "home1", self.clock())
            served = publications.newest(connection, "home1")
            packages = connection.execute(
                storage.publication.select().where(storage.publication.c.serial == served.serial)
            ).one()
        text, payload = usign.split_embedded(served.assignment)
        for message, signature in ((payload, text), (packages.packages, packages.signature)):
            usign.verify(message, usign.Signature.parse(signature), self.key.public_key(), signing.ed25519_verify)
        parsed = assignment.parse(payload)
        assert {e["Filename"] for e in opkg_index.parse(packages.packages)} == {e.filename for e in parsed.services}
        return parsed

    def state(self, service: str = "lane") -> str:
        with self.store.read() as connection:
            row = connection.execute(
                storage.order.select()
                .where(storage.order.c.service == service)
                .order_by(storage.order.c.created.desc())
            ).first()
        return row.state


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The home that each test's manager begins with; made once."""
    made = Manager(tmp_path_factory.mktemp("prepared"), None)
    for words in (["init", "--url", "http://manager.example:8080"], ["publish", str(made.service())]):
        assert cli.main(["--home", str(made.path), *words]) == 0
    return made.path


@pytest.fixture
def manager(tmp_path, capsys, prepared):
    """A manager with the service `lane` published, at http://manager.example:8080."""
    made = Manager(tmp_path, capsys)
    made.service()
    shutil.copytree(prepared, made.path)
    yield made
    for part in (*made.listeners, *made.applications):
        part.close()


@pytest.fixture
def world(tmp_path, manager):
    made = World(tmp_path)
    made.publish(manager.service())
    yield made
    made.store.close()


@pytest.fixture
def new_world():
    """Makes a `World` in a folder."""
    return World
