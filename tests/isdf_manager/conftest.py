"""A manager in a folder of its own, and a small router that takes its side of the delivery."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import socket
import threading
import time
from pathlib import Path

import pytest
from werkzeug.test import Client

from isdf import wire
from isdf.formats import assignment, ipk, opkg_index, service_package, usign
from isdf_manager import accesslog, app, cli
from isdf_manager.home import Home
from isdf_manager.signing import ed25519_verify

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


class Router:
    """What a home does: verify and fetch what the assignment names, report, and answer pushes."""

    def __init__(self, uci: str, client: Client, clock=time.time) -> None:
        self.options = dict(re.findall(r"option (\w+) '([^']*)'", uci))
        self.name = self.options["device"]
        self.key = bytes.fromhex(self.options["device_key"])
        self.feed = f"/feed/{self.name}/{self.options['feed_secret']}"
        self.client, self.clock = client, clock
        self.etag, self.assignment = "", None
        self.packages: dict[str, ipk.Package] = {}
        self.error: str | None = None  # what the next report says
        self.address = "127.0.0.1"

    def request(self, method: str, path: str, body: bytes = b"", signed: bool = True, headers=(), **changed):
        headers = dict(headers)
        if signed:
            values = {"time": int(self.clock()), "nonce": secrets.token_hex(8), "key": self.key} | changed
            key = wire.derive(values["key"], "request")
            seal = wire.sign_request(key, method, path, body, values["time"], values["nonce"])
            headers |= {"Isdf-Time": str(values["time"]), "Isdf-Nonce": values["nonce"], "Isdf-Signature": seal}
        environ = {"REMOTE_ADDR": self.address}
        return self.client.open(path, method=method, data=body, headers=headers, environ_overrides=environ)

    def get(self, path: str, **more):
        return self.request("GET", path, signed=False, **more)

    def pull(self) -> bool:
        """One pull with all its checks; False for a 304."""
        headers = {"If-None-Match": f'"{self.etag}"'} if self.etag else {}
        answer = self.request("GET", f"/device/{self.name}/assignment", headers=headers)
        if answer.status_code == 304:
            return False
        assert answer.status_code == 200, answer.text
        signature, payload = usign.split_embedded(answer.data)
        self.verify(signature, payload, "assignment_key")
        parsed = assignment.parse(payload)
        assert parsed.device == self.name
        assert self.assignment is None or parsed.serial > self.assignment.serial
        self.etag = hashlib.sha256(payload).hexdigest()
        assert answer.headers["ETag"] == f'"{self.etag}"'
        self.assignment = parsed
        self.fetch()
        return True

    def fetch(self) -> None:
        index = self.assignment.index_sha256
        packages = self.get(f"{self.feed}/{index}/Packages").data
        assert hashlib.sha256(packages).hexdigest() == index
        assert len(packages) == self.assignment.index_size
        self.verify(self.get(f"{self.feed}/{index}/Packages.sig").text, packages, "assignment_key")
        entries = {e["Filename"]: e for e in opkg_index.parse(packages)}
        assert set(entries) == {e.filename for e in self.assignment.services}
        self.packages = {}
        for entry in self.assignment.services:
            data = self.get(f"{self.feed}/{index}/{entry.filename}").data
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.size, entry.sha256)
            assert entries[entry.filename]["SHA256sum"] == entry.sha256
            self.verify(entry.signature, entry.catalogue_message(), "catalogue_key")
            self.packages[entry.name] = ipk.read(data)
            service_package.check_service_package(self.packages[entry.name], entry.name)

    def verify(self, signature: str, message: bytes, key: str) -> None:
        public = usign.PublicKey.parse(self.options[key])
        usign.verify(message, usign.Signature.parse(signature), public, ed25519_verify)

    def report(self, **changed):
        services = [
            {"name": e.name, "version": e.version, "state": "failed" if self.error else "running",
             "since": int(self.clock()), "error": self.error}
            for e in self.assignment.services
        ]  # fmt: skip
        body = {
            "serial": self.assignment.serial, "applied": True, "services": services, "error": None, "agent": "0.1.0",
            "uptime": 12.5,
        } | changed  # fmt: skip
        return self.request("POST", f"/device/{self.name}/report", json.dumps(body).encode())

    def runs(self) -> dict[str, dict]:
        """The configurations by service."""
        return {e.name: e.config for e in self.assignment.services}


class Listener:
    """A router that pulls and reports when it is pushed, on a port of its own."""

    def __init__(self, router: Router, sock: socket.socket, deaf: int = 0) -> None:
        self.router, self._sock = router, sock
        self.pushes: list[int] = []
        self.deaf = deaf  # datagrams that are lost first
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        key, highest = wire.derive(self.router.key, "push"), 0
        while data := self._sock.recv(100):
            if data == b"end":
                return
            sequence = wire.read_push(key, data)
            self.pushes.append(sequence)
            if self.deaf > 0:
                self.deaf -= 1
            elif sequence > highest:
                highest = sequence
                self.router.pull()
                self.router.report()

    def close(self) -> None:
        with socket.socket(self._sock.family, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", self._sock.getsockname())
        self._thread.join()
        self._sock.close()


class Manager:
    """A home folder, its command line (in this process) and its application."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self._capsys = folder, capsys
        self.path = folder / "manager"
        self.listeners: list[Listener] = []
        self.applications: list[app.Application] = []
        self.log = io.StringIO()
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

    def client(self) -> Client:
        application, self.schedule = app.make(self.home, self.home.config(), accesslog.AccessLog(self.log))
        self.applications.append(application)
        return Client(application)

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


@pytest.fixture
def manager(tmp_path, capsys):
    """A manager with the service `lane` published, at http://manager.example:8080."""
    made = Manager(tmp_path, capsys)
    made.ok("init", "--url", "http://manager.example:8080")
    made.ok("publish", str(made.service()))
    yield made
    for part in (*made.listeners, *made.applications):
        part.close()


@pytest.fixture
def router_class():
    return Router


@pytest.fixture
def listener_class():
    return Listener
