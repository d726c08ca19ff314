"""An operator in memory: keys, packages, indexes and assignments, made as the manager makes them.

After python-tuf's `repository_simulator`: tests change a field and see what a router makes of it.
"""

import functools
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isdf.formats import assignment as wire
from isdf.formats import claim, ipk, opkg_index, usign
from isdf.formats import keys as statements
from isdf.value import replace

NOW = 1_800_000_000
DEVICE = "home1"
DEVICE_KEY = bytes(range(32))
SECRET = "5ec2e7" + "0" * 26


def make_key(number: int) -> usign.SecretKey:
    """A key pair, the same for the same `number`."""
    seed = bytes([number]) * 32
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return usign.SecretKey(bytes([number]) * 8, seed, public)


def sign(message: bytes, key: usign.SecretKey) -> usign.Signature:
    return usign.sign(message, key, lambda seed, data: Ed25519PrivateKey.from_private_bytes(seed).sign(data))


def verify(message: bytes, signature: usign.Signature, key: usign.PublicKey) -> bool:
    """`trusted.Verify` without the program `usign`."""
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature.signature, message)
    except InvalidSignature:
        return False
    return True


def service_package(
    name: str, version: str = "1.0.0", text: str = "", *, files=(), control=None, scripts=None, add=()
) -> bytes:
    """The package of a service as `publish` makes it; the rest is for those that must be refused."""
    folder = f"/usr/lib/isdf/services/{name}"
    description = json.dumps({"name": name, "version": version, "title": name, "may": {}}).encode()
    contents = [
        ipk.File(f"{folder}/service.py", 0o644, (text or f"# {name} {version}\n").encode()),
        ipk.File(f"{folder}/service.json", 0o644, description),
    ]
    fields = {
        "Package": f"isdf-service-{name}", "Version": version, "Depends": "isdf-agent", "License": "GPL-2.0-or-later",
        "Section": "net", "Require-User": f"isdf-{name}:isdf", "Architecture": "all", "Description": name,
    }  # fmt: skip
    return ipk.build(fields | (control or {}), list(files) or [*contents, *add], scripts, mtime=0)


@functools.cache
def _plain_package(name: str, version: str) -> bytes:
    return service_package(name, version)


class Operator:
    """The keys, and what each router shall run; `publish` and `subscribe`, then `assignment` and `files`."""

    def __init__(self, device: str = DEVICE) -> None:
        self.device = device
        self.catalogue_key, self.assignment_key = make_key(1), make_key(2)
        self.serial = NOW * 1000
        self.issued, self.expires, self.push_floor = NOW, NOW + 7 * 86400, 0
        self.packages: dict[str, bytes] = {}  # by file name
        self.entries: dict[str, wire.Entry] = {}  # by service
        self.index: bytes | None = None  # instead of the one that belongs to the entries
        self.keys_version, self.authority = NOW * 1000, ""
        self.token, self.claimed = bytes(range(10)), None  # of the claim code; the device key that was shown with it
        self.line: dict | None = None  # what the router is told of it, kbit/s

    def subscribe(self, name: str, version: str = "1.0.0", *, data: bytes | None = None, **fields) -> wire.Entry:
        """Let the router run `name`: a package made by `service_package`, or `data`; `fields` of the entry."""
        data = data or _plain_package(name, version)
        package, sha256 = f"isdf-service-{name}", hashlib.sha256(data).hexdigest()
        entry = {
            "name": name, "package": package, "version": version, "filename": f"{package}_{version}_all.ipk",
            "size": len(data), "sha256": sha256, "config": {}, "since": NOW - 60,
            "signature": sign(wire.catalogue_message(package, version, len(data), sha256), self.catalogue_key).line,
        } | fields  # fmt: skip
        self.entries[name] = wire.Entry(**entry)
        self.packages[self.entries[name].filename] = data
        self.serial += 1
        return self.entries[name]

    def configure(self, name: str, **fields) -> wire.Entry:
        self.entries[name] = replace(self.entries[name], **fields)
        self.serial += 1
        return self.entries[name]

    def unsubscribe(self, name: str) -> None:
        del self.entries[name]
        self.serial += 1

    def packages_file(self) -> bytes:
        """The index `Packages`."""
        if self.index is not None:
            return self.index
        stanzas = []
        for entry in self.entries.values():
            control = ipk.read(self.packages[entry.filename]).control
            stanzas.append(opkg_index.entry(control, entry.filename, entry.size, entry.sha256))
        return opkg_index.dump(stanzas)

    def statement(self, **fields) -> wire.Assignment:
        index = self.packages_file()
        values = {
            "device": self.device, "serial": self.serial, "issued": self.issued, "expires": self.expires,
            "push_floor": self.push_floor, "services": tuple(self.entries.values()),
            "index_sha256": hashlib.sha256(index).hexdigest(), "index_size": len(index), "feed": SECRET,
        }  # fmt: skip
        return wire.Assignment(**values | fields)

    def assignment(self, key: usign.SecretKey | None = None, **fields) -> bytes:
        """The assignment as it travels; `fields` overrule what the operator would say."""
        payload = wire.dump(self.statement(**fields))
        return usign.embed(payload, sign(payload, key or self.assignment_key).dump())

    def keys(self, key: usign.SecretKey | None = None, **fields) -> bytes:
        """The keys statement as it travels; `fields` overrule what the operator would say."""
        values = {
            "version": self.keys_version, "catalogue_key": self.catalogue_key.public_key().line,
            "assignment_key": self.assignment_key.public_key().line, "authority": self.authority,
        }  # fmt: skip
        payload = statements.dump(statements.Keys(**values | fields))
        return usign.embed(payload, sign(payload, key or self.catalogue_key).dump())

    def claim(self) -> str:
        """The claim code of the device."""
        return claim.make(self.token, self.catalogue_key.public_key())

    def index_signature(self) -> bytes:
        return sign(self.packages_file(), self.assignment_key).dump().encode()

    def digest(self) -> str:
        return hashlib.sha256(wire.dump(self.statement())).hexdigest()
