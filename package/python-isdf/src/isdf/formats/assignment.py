"""The assignment: the signed statement of what one router shall run, from when and until when.

Its form is that of `statement`; on the wire it stands behind its signature (`usign.embed`).
"""

from __future__ import annotations

import re

from ..errors import FormatError
from ..value import dataclass, field
from . import statement, usign

MAX_SIZE = 1 << 20
MAX_SERVICES = 256
TYPE, FORMAT = "isdf-assignment", 1
_FIELDS = ("device", "serial", "issued", "expires", "push_floor", "feed")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
PREFIX = "isdf-service-"
"""Of a service's package, and of the service in procd."""
VERSION = re.compile(r"[0-9][A-Za-z0-9.~+_-]{0,31}\Z")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}\.ipk\Z")
_ORDER = re.compile(r"[A-Za-z0-9_.:-]{0,64}\Z")
_SECRET = re.compile(r"[0-9a-f]{32}\Z")
_MAX_PACKAGE = 16 << 20
OFFLINE_GRACE, MAX_OFFLINE_GRACE = 14 * 86400, 10 * 366 * 86400  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One service of an assignment: the exact package, its configuration, and from (`since`) when `until` when it may
    run (Unix seconds; None: until another assignment says otherwise). `size` is in bytes, `signature` the base64 line
    of the catalogue key's signature over `catalogue_message`, a higher `priority` goes before a lower one. Without an
    end it goes on for `offline_grace` seconds after the assignment has expired. `FormatError` for what cannot be."""

    name: str
    package: str
    version: str
    filename: str
    size: int
    sha256: str
    signature: str
    config: dict
    since: int
    until: int | None = None
    priority: int = 0
    order: str = ""
    offline_grace: int = OFFLINE_GRACE

    def __post_init__(self) -> None:
        statement.name(self.name, "service")
        what = f"service {self.name}"
        if self.package != PREFIX + self.name:
            raise FormatError(f"{what} has the package {self.package!r}, not {PREFIX}{self.name}")
        statement.match(VERSION, self.version, f"{what}: version")
        statement.match(_FILENAME, self.filename, f"{what}: filename")
        statement.match(_SHA256, self.sha256, f"{what}: sha256")
        statement.match(_ORDER, self.order, f"{what}: order")
        statement.integer(self.size, f"{what}: size", 1, _MAX_PACKAGE)
        statement.integer(self.since, f"{what}: from")
        statement.integer(self.priority, f"{what}: priority", -statement.MAX_INT)
        statement.integer(self.offline_grace, f"{what}: offline_grace", 0, MAX_OFFLINE_GRACE)
        if self.until is not None:
            statement.integer(self.until, f"{what}: until", self.since + 1)
        if not isinstance(self.signature, str) or "\n" in self.signature:
            raise FormatError(f"{what}: signature is not one line of base64")
        usign.Signature.parse(self.signature)
        if not isinstance(self.config, dict):
            raise FormatError(f"{what}: config is not an object")
        statement.configuration(self.config, f"{what}: config")

    def catalogue_message(self) -> bytes:
        """What the catalogue key signed."""
        return catalogue_message(self.package, self.version, self.size, self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What the router `device` shall run: `issued` and `expires` are Unix seconds, `serial` only rises, a push needs a
    sequence above `push_floor`, the package index has `index_size` bytes and `index_sha256`, `feed` (32 hex digits) is
    the secret in its path. `FormatError` for what cannot be."""

    device: str
    serial: int
    issued: int
    expires: int
    push_floor: int
    index_sha256: str
    index_size: int
    feed: str = field(repr=False)
    services: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        statement.name(self.device, "device")
        statement.integer(self.serial, "serial", 1)
        statement.integer(self.issued, "issued")
        statement.integer(self.expires, "expires", self.issued + 1)
        statement.integer(self.push_floor, "push_floor")
        statement.match(_SHA256, self.index_sha256, "index: sha256")
        statement.integer(self.index_size, "index: size", 1)
        statement.match(_SECRET, self.feed, "feed")
        names = [entry.name for entry in self.services]
        if len(names) > MAX_SERVICES or len(set(names)) != len(names):
            raise FormatError(f"the assignment has a service twice, or more than {MAX_SERVICES}")


def dump(assignment: Assignment) -> bytes:
    """The bytes of `assignment`, to be signed; `FormatError` if its configuration is not JSON."""
    services = []
    for entry in assignment.services:
        fields = {name: getattr(entry, name) for name in Entry.__slots__}
        fields["from"] = fields.pop("since")
        services.append(fields)
    document = {
        "type": TYPE, "format": FORMAT, **{name: getattr(assignment, name) for name in _FIELDS},
        "index": {"sha256": assignment.index_sha256, "size": assignment.index_size}, "services": services,
    }  # fmt: skip
    return statement.dump(document, MAX_SIZE)


def parse(data: bytes) -> Assignment:
    """The assignment that `data` is; `FormatError` for anything that `dump` would not have written."""
    document = statement.load(data, TYPE, FORMAT, MAX_SIZE)
    try:
        index = document["index"]
        services = [_entry(fields) for fields in document["services"]]
        assignment = Assignment(
            **{name: document[name] for name in _FIELDS},
            index_sha256=index["sha256"], index_size=index["size"], services=tuple(services),
        )  # fmt: skip
    except KeyError as error:
        raise FormatError(f"the assignment lacks {error}") from None
    except TypeError:
        raise FormatError("the assignment has a field that is not what it should be, or one too many") from None
    if dump(assignment) != data:
        raise FormatError("the assignment is not in its canonical form, or has a field too many")
    return assignment


def catalogue_message(package: str, version: str, size: int, sha256: str) -> bytes:
    """What the catalogue key signs of a package: its name, version, size in bytes and SHA-256.

    The version's length is limited so that the message stays below those that `usign.pad` would lengthen.
    """
    statement.match(VERSION, version, "version")
    statement.match(_SHA256, sha256, "sha256")
    statement.integer(size, "size", 1, _MAX_PACKAGE)
    statement.name(package.removeprefix(PREFIX), "service")
    return f"{package} {version} {size} {sha256}\n".encode()


def _entry(fields: object) -> Entry:
    if not isinstance(fields, dict):
        raise FormatError("the assignment has a service that is not an object")
    fields = dict(fields)
    fields["since"] = fields.pop("from")
    return Entry(**fields)
