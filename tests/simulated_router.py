"""A router that takes its side of the delivery, in a few lines: for tests of the manager."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import threading
import time

from werkzeug.test import Client

from isdf import wire
from isdf.formats import assignment, claim, ipk, keys, opkg_index, service_package, usign
from isdf_manager.signing import ed25519_verify


class Router:
    """What a home does: verify and fetch what the assignment names, report, and answer pushes."""

    def __init__(self, told: str, client: Client, clock=time.time) -> None:
        """A new router; `told` is what `device add` printed, or the configuration that it wrote."""
        self.claim = claim.parse(re.search(r"(?:claim code: |option claim ')([A-Z2-7-]+)", told)[1])
        self.key = secrets.token_bytes(32)
        self.keys: keys.Keys | None = None
        self.client, self.clock = client, clock
        self.etag, self.assignment = "", None
        self.packages: dict[str, ipk.Package] = {}
        self.error: str | None = None  # what the next report says of each service
        self.says: dict = {}  # and of the whole
        self.address = "127.0.0.1"
        self.trust()
        self.name = self.enroll().json["device"]

    def trust(self) -> bool:
        """Take over the keys statement; False where it is not newer."""
        answer = self.get("/keys")
        assert answer.status_code == 200, answer.text
        signature, payload = usign.split_embedded(answer.data)
        told = keys.parse(payload)
        assert self.claim.fits(usign.PublicKey.parse(told.catalogue_key))
        self.verify(signature, payload, told.catalogue_key)
        if self.keys is not None and told.version <= self.keys.version:
            return False
        self.keys = told
        return True

    def enroll(self):
        """Show the claim code with this router's key."""
        body = {"token": self.claim.token.hex(), "key": self.key.hex()}
        return self.request("POST", "/enroll", json.dumps(body).encode(), signed=False)

    @property
    def feed(self) -> str:
        return f"/feed/{self.name}/{self.assignment.feed}"

    def request(self, method: str, path: str, body: bytes = b"", signed: bool = True, headers=(), **changed):
        headers = dict(headers)
        if signed:
            values = {
                "time": int(self.clock()), "nonce": secrets.token_hex(8), "key": self.key,
                "digest": wire.content_digest(body),
            } | changed  # fmt: skip
            key = wire.derive(values["key"], "request")
            seal = wire.sign_request(key, method, path, values["digest"], values["time"], values["nonce"])
            headers |= {"Content-Digest": values["digest"]} if values["digest"] else {}
            headers |= {"Isdf-Time": str(values["time"]), "Isdf-Nonce": values["nonce"], "Isdf-Signature": seal}
        environ = {"REMOTE_ADDR": self.address}
        return self.client.open(path, method=method, data=body, headers=headers, environ_overrides=environ)

    def get(self, path: str, **more):
        return self.request("GET", path, signed=False, **more)

    def pull(self) -> bool:
        """One pull with all its checks; False for a 304."""
        headers = {"If-None-Match": f'"{self.etag}"'} if self.etag else {}
        answer = self.request("GET", f"/device/{self.name}/assignment", headers=headers)
        if int(answer.headers["Isdf-Keys"]) > self.keys.version:
            assert self.trust()
        if answer.status_code == 304:
            return False
        assert answer.status_code == 200, answer.text
        signature, payload = usign.split_embedded(answer.data)
        self.verify(signature, payload, self.keys.assignment_key)
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
        packages = self.file("Packages").data
        assert hashlib.sha256(packages).hexdigest() == index
        assert len(packages) == self.assignment.index_size
        self.verify(self.file("Packages.sig").text, packages, self.keys.assignment_key)
        entries = {e["Filename"]: e for e in opkg_index.parse(packages)}
        assert set(entries) == {e.filename for e in self.assignment.services}
        self.packages = {}
        for entry in self.assignment.services:
            data = self.file(entry.filename).data
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.size, entry.sha256)
            assert entries[entry.filename]["SHA256sum"] == entry.sha256
            self.verify(entry.signature, entry.catalogue_message(), self.keys.catalogue_key)
            self.packages[entry.name] = ipk.read(data)
            service_package.check_service_package(self.packages[entry.name], entry.name)

    def file(self, name: str):
        """The answer with a file of the feed."""
        answer = self.get(f"{self.feed}/{self.assignment.index_sha256}/{name}")
        assert answer.status_code == 200, answer.text
        return answer

    def verify(self, signature: str, message: bytes, key: str) -> None:
        public = usign.PublicKey.parse(key)
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
        } | self.says | changed  # fmt: skip
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
