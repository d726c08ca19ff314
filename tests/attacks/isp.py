"""The ISP whose homes are attacked: its manager as a process, its desk, and its keys for whoever stole them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from isdf import wire
from isdf.formats import claim, keys, usign
from isdf_manager import cli, commands, devices, signing, storage
from premises import syscalls

from .relay import Relay, Request
from .wire import Wire

_COMMAND = [sys.executable, "-c", "import sys; from isdf_manager.cli import main; sys.exit(main())"]
# The homes here pull more often in a second than a router does in an hour: the limits are as much wider.
_SERVE = """
import sys
from isdf_manager import cli, limits
make = limits.Buckets.__init__
limits.Buckets.__init__ = lambda self, burst, every, *more, **named: make(self, burst * 99, every / 99, *more, **named)
sys.exit(cli.main())
"""
_MANIFEST = """\
name: {name}
version: "{version}"
title: Made for a test
description: Made for a test
may: {{add_class: {{max: 1, rate: 800kbit}}}}
configuration: {{type: object}}
"""


@dataclass(frozen=True)
class Publication:
    """An assignment as it travels, an index and its signature."""

    assignment: bytes
    packages: bytes
    signature: bytes


class Isp:
    """A manager that homes reach through `relay`, without TLS: whoever sits there can change whatever he likes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "manager"
        self.port = free_port(socket.SOCK_STREAM)
        self.relay = self._between()
        self.url = f"http://127.0.0.1:{self.port}"
        self.desk("init", "--url", self.relay.url)
        self._log = folder / "log"
        self.versions: dict[str, str] = {}  # the newest of each service
        self.push_ports: dict[str, int] = {}  # of each device
        self._server: subprocess.Popen | None = None

    _verify: bool | str = True

    def _between(self) -> Relay:
        return Relay(("127.0.0.1", self.port))

    def desk(self, *words: str) -> str:
        """What a command of `isdf-manager` prints."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["--home", str(self.home), *words])
        assert status == 0, err.getvalue()
        return out.getvalue()

    def serve(self, env: dict[str, str] | None = None) -> None:
        words = [sys.executable, "-c", _SERVE, "--home", self.home, "serve", "--listen", f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            everything = os.environ | (env or {})
            self._server = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=everything,
                preexec_fn=syscalls.die_with_parent,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        """Wait until the manager answers."""
        deadline = time.monotonic() + 60
        while not self._serves():
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def _serves(self) -> bool:
        try:
            return self.ask("GET", "/health").ok
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        if self._server:
            self._server.terminate()
            self._server.wait(20)

    def close(self) -> None:
        self.stop()
        self.relay.close()

    def __enter__(self) -> Isp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self) -> str:
        return self._log.read_text()

    def add(self, device: str, *words: str) -> str:
        """The /etc/config/isdf of a new device."""
        port = self.push_ports[device] = free_port(socket.SOCK_DGRAM)
        words = ("--set", f"push_port={port}", *words)
        file = self.folder / f"{device}.uci"
        line = ["--line", "down=8000,up=8000,base_down=1200,base_up=1200"]
        self.desk("device", "add", device, "--uci", str(file), *line, "--set", "dataplane=memory", *words)
        return file.read_text()

    def publish(self, name: str = "tv", size: int = 0) -> str:
        """A new version of a service, which is published; its number. Its package has `size` bytes at least."""
        last = self.versions.get(name, "1.0.0")
        version = self.versions[name] = f"1.0.{int(last.rpartition('.')[2]) + 1}"
        folder = self.folder / "feed" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "service.yaml").write_text(_MANIFEST.format(name=name, version=version))
        (folder / "service.py").write_text(f"version = {version!r}\n# {os.urandom(size).hex()}\n")
        self.desk("publish", str(folder))
        return version

    def sell(self, device: str, name: str = "tv", *words: str) -> None:
        self.desk("subscribe", device, name, "--no-push", *words)

    def enroll(self, device: str) -> bytes:
        """Add a device, whose router enrols with a key of its own; the key."""
        code = re.search("option claim '(.*)'", self.add(device))[1]
        key = os.urandom(32)
        told = {"token": claim.parse(code).token.hex(), "key": key.hex()}
        assert self.ask("POST", "/enroll", body=json.dumps(told).encode()).json()["device"] == device
        return key

    def ask(self, method: str, path: str, key: bytes | None = None, body: bytes = b"") -> requests.Response:
        """The manager's answer to a request, signed by the device key `key` if there is one."""
        headers = {}
        if key is not None:
            digest, now, nonce = wire.content_digest(body), int(time.time()), os.urandom(16).hex()
            seal = wire.sign_request(wire.derive(key, "request"), method, path, digest, now, nonce)
            headers = {"Isdf-Time": str(now), "Isdf-Nonce": nonce, "Isdf-Signature": seal, "Content-Digest": digest}
        return self.send(Request(method, path, headers if body else _bodyless(headers), body))

    def send(self, request: Request) -> requests.Response:
        """The manager's answer to a request as it is."""
        with requests.Session() as session:
            session.trust_env, session.verify = False, self._verify
            return session.request(
                request.method, self.url + request.path, headers=request.headers, data=request.body, timeout=10
            )

    @contextlib.contextmanager
    def refusing(self, device: str, status: int, path: str) -> Iterator[None]:
        """What happens inside changes nothing that is written of `device`, and the manager logs that it refused a
        request for `path` with `status`."""
        start, before = len(self.log()), self.written(device)
        yield
        assert self.written(device) == before
        assert (path, status) in self.refusals(start)

    @contextlib.contextmanager
    def refusing_key(self, device: str, status: int, path: str = "/enroll") -> Iterator[None]:
        """What happens inside binds no key to `device`; the manager logs that it refused an enrolment."""
        start, before = len(self.log()), self.written(device)[0]
        yield
        assert self.written(device)[0] == before
        assert (path, status) in self.refusals(start)

    def refusals(self, start: int) -> set[tuple[str, int]]:
        """Path and status of what the manager answered since its log had the length `start`."""
        lines = [json.loads(line) for line in self.log()[start:].splitlines() if line.startswith("{")]
        return {(line["path"], line["status"]) for line in lines}

    def replacement(self, device: str) -> str:
        """A claim code for a box that takes the place of the one before."""
        return re.search("claim code: (.*)", self.desk("device", "replace", device))[1]

    def written(self, device: str) -> list:
        """What the manager has in its database of a device."""
        tables = {storage.device: "name", storage.contact: "device", storage.publication: "device"}
        with contextlib.closing(commands.Parts(self.home)) as parts, parts.store.read() as connection:
            return [connection.execute(t.select().where(t.c[name] == device)).all() for t, name in tables.items()]

    def device_key(self, device: str) -> bytes:
        with contextlib.closing(commands.Parts(self.home)) as parts, parts.store.read() as connection:
            return bytes.fromhex(devices.find(connection, device).device_key)

    @contextlib.contextmanager
    def recording(self, device: str) -> Iterator[socket.socket]:
        """A socket that hears the pushes to `device` in its place, and leaves it to the test to hand them on."""
        table = storage.device
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            contextlib.closing(commands.Parts(self.home)) as parts,
        ):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(10)
            with parts.store.write() as connection:
                own = devices.find(connection, device).push_port
                mine = table.update().where(table.c.name == device)
                connection.execute(mine.values(push_port=sock.getsockname()[1]))
            yield sock
            with parts.store.write() as connection:
                connection.execute(mine.values(push_port=own))

    def operate(self, *words: str) -> subprocess.Popen:
        """A command of `isdf-manager` that runs beside the test."""
        return subprocess.Popen([*_COMMAND, "--home", self.home, *words], stdout=subprocess.DEVNULL)

    def statement(self) -> bytes:
        """The keys statement in force."""
        return (self.home / "keys/statement").read_bytes()

    def publication(self, device: str) -> Publication:
        """What the manager would serve to `device` now."""
        with contextlib.closing(commands.Parts(self.home)) as parts, parts.store.write() as connection:
            parts.published.renewed(connection, device, time.time())
            table = storage.publication
            newest = table.select().where(table.c.device == device).order_by(table.c.serial.desc())
            row = connection.execute(newest).first()
        return Publication(row.assignment, row.packages, row.signature.encode())

    @property
    def assignment_key(self) -> usign.SecretKey:
        return signing.read_secret(self.home / "keys/assignment.sec", "assignment")

    @property
    def catalogue_key(self) -> usign.SecretKey:
        return signing.read_secret(self.home / "keys/catalogue.sec", "catalogue")


class SecureIsp(Isp):
    """The same with TLS; homes reach it through `relay`, a wire."""

    def _between(self) -> Wire:
        wire = Wire()
        wire.target = self.port
        return wire

    def serve(self, env: dict[str, str] | None = None) -> None:
        self.url = f"https://127.0.0.1:{self.port}"
        self._verify = str(self.folder / "authority.pem")
        self._believe()
        super().serve(env)

    def replace_authority(self) -> None:
        """The second step of it; when this returns, the server shows a certificate of the new one."""
        self.desk("keys", "rotate", "authority", "--finish")
        self._believe()
        self._wait()

    def _believe(self) -> None:
        """Believe what a router would that has the statement in force."""
        Path(self._verify).write_text(keys.parse(usign.split_embedded(self.statement())[1]).authority)


def _bodyless(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "Content-Digest"}


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
