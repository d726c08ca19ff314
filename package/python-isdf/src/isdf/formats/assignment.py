"""The assignment: the signed statement of what one router shall run, from when and until when.

Its one form is canonical JSON (RFC 8259): keys sorted, no blanks, UTF-8, a newline at the end, and two more where
`usign.pad` wants them. What is not byte for byte what `dump` writes is no assignment, so that its hash is its identity.
On the wire it stands behind its signature (`usign.embed`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ..errors import FormatError, InvalidError
from ..model import parse_name
from . import usign

MAX_SIZE = 1 << 20
MAX_SERVICES = 256
TYPE, FORMAT = "isdf-assignment", 1
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.~+_-]{0,31}\Z")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}\.ipk\Z")
_ORDER = re.compile(r"[A-Za-z0-9_.:-]{0,64}\Z")
_MAX_INT, _MAX_PACKAGE = 2**53 - 1, 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One service of an assignment: the exact package, its configuration, and from (`since`) when `until` when it may
    run (Unix seconds; None: until another assignment says otherwise). `size` is in bytes, `signature` the base64 line
    of the catalogue key's signature over `catalogue_message`, a higher `priority` goes before a lower one.
    `FormatError` for what cannot be."""

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

    def __post_init__(self) -> None:
        _name(self.name, "service")
        what = f"service {self.name}"
        if self.package != f"isdf-service-{self.name}":
            raise FormatError(f"{what} has the package {self.package!r}, not isdf-service-{self.name}")
        _match(_VERSION, self.version, f"{what}: version")
        _match(_FILENAME, self.filename, f"{what}: filename")
        _match(_SHA256, self.sha256, f"{what}: sha256")
        _match(_ORDER, self.order, f"{what}: order")
        _integer(self.size, f"{what}: size", 1, _MAX_PACKAGE)
        _integer(self.since, f"{what}: from")
        _integer(self.priority, f"{what}: priority", -_MAX_INT)
        if self.until is not None:
            _integer(self.until, f"{what}: until", self.since + 1)
        if not isinstance(self.signature, str) or "\n" in self.signature:
            raise FormatError(f"{what}: signature is not one line of base64")
        usign.Signature.parse(self.signature)
        if not isinstance(self.config, dict):
            raise FormatError(f"{what}: config is not an object")

    def catalogue_message(self) -> bytes:
        """What the catalogue key signed."""
        return catalogue_message(self.package, self.version, self.size, self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What the router `device` shall run: `issued` and `expires` are Unix seconds, `serial` only rises, a push needs a
    sequence above `push_floor`, the package index has `index_size` bytes and `index_sha256`. `FormatError` for what
    cannot be."""

    device: str
    serial: int
    issued: int
    expires: int
    push_floor: int
    index_sha256: str
    index_size: int
    services: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        _name(self.device, "device")
        _integer(self.serial, "serial", 1)
        _integer(self.issued, "issued")
        _integer(self.expires, "expires", self.issued + 1)
        _integer(self.push_floor, "push_floor")
        _match(_SHA256, self.index_sha256, "index: sha256")
        _integer(self.index_size, "index: size", 1)
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
        "type": TYPE, "format": FORMAT, "device": assignment.device, "serial": assignment.serial,
        "issued": assignment.issued, "expires": assignment.expires, "push_floor": assignment.push_floor,
        "index": {"sha256": assignment.index_sha256, "size": assignment.index_size}, "services": services,
    }  # fmt: skip
    data = _canonical(document)
    if len(data) > MAX_SIZE:
        raise FormatError(f"the assignment has {len(data)} bytes; {MAX_SIZE} are allowed")
    return data


def parse(data: bytes) -> Assignment:
    """The assignment that `data` is; `FormatError` for anything that `dump` would not have written."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"an assignment has at most {MAX_SIZE} bytes, not {len(data)}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the assignment is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict) or document.get("type") != TYPE or document.get("format") != FORMAT:
        raise FormatError(f"the data is not an {TYPE} of format {FORMAT}")
    try:
        index = document["index"]
        services = [_entry(fields) for fields in document["services"]]
        assignment = Assignment(
            **{name: document[name] for name in ("device", "serial", "issued", "expires", "push_floor")},
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
    _match(_VERSION, version, "version")
    _match(_SHA256, sha256, "sha256")
    _integer(size, "size", 1, _MAX_PACKAGE)
    _name(package.removeprefix("isdf-service-"), "package")
    return f"{package} {version} {size} {sha256}\n".encode()


def _entry(fields: object) -> Entry:
    if not isinstance(fields, dict):
        raise FormatError("the assignment has a service that is not an object")
    fields = dict(fields)
    fields["since"] = fields.pop("from")
    return Entry(**fields)


def _canonical(document: dict) -> bytes:
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return usign.pad(text.encode() + b"\n")
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"the assignment cannot be written as JSON: {str(error)[:100]}") from None


def _name(value: object, what: str) -> None:
    try:
        parse_name(value, what)
    except InvalidError as error:
        raise FormatError(str(error)) from None


def _match(pattern: re.Pattern, value: object, what: str) -> None:
    if not isinstance(value, str) or not pattern.match(value):
        raise FormatError(f"{what} is {str(value)[:80]!r}, which it cannot be")


def _integer(value: object, what: str, low: int = 0, high: int = _MAX_INT) -> None:
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{what} is {str(value)[:40]!r}, not a whole number from {low} to {high}")
