"""What delivery keeps on flash, so that a power cut harms nothing and the way back needs no network.

    /etc/isdf/packages/      the package of each service that runs, that is tried, that ran before it, or that will run
    /etc/isdf/assignment     what is to be, as it came over the wire; written before anything is changed
    /etc/isdf/running.json   what is: what was ready last, what is installed, what failed, what the customer stopped
    /etc/isdf/passes.json    how many seconds each pass may still run

Each file is replaced as a whole (written beside it, fsync, rename, fsync of the folder), and only if it changes: flash
wears. There is nothing else to recover from: whoever starts carries the assignment out, as far as what is differs from
it. Every step of that may be repeated, and the packages that it needs are in `packages` before the assignment is there.
"""

from __future__ import annotations

import json

from isdf.digest import sha256
from isdf.errors import FormatError
from isdf.formats import assignment as wire
from isdf.formats.usign import Signature, split_embedded
from isdf.log import Log
from isdf.path import Path
from isdf.value import dataclass, field

from . import flash

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An entry that could not be carried out: its identity (see `identity`), why, and how often it was tried.

    `was_ready`: it had come up before it failed. `back`: why what ran before it did not come back, by identity.
    """

    identity: str
    reason: str
    tries: int = 1
    was_ready: bool = False
    back: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """An assignment and the bytes in which it came; `digest` is the SHA-256 of these without their signature (between
    quotation marks its ETag), `signer` the fingerprint (hex) of the key that signed it."""

    data: bytes
    assignment: wire.Assignment
    digest: str
    signer: str

    @classmethod
    def parse(cls, data: bytes) -> Received:
        """Of bytes that were verified when they came; `FormatError` where they are damaged."""
        signature, payload = split_embedded(data)
        signer = Signature.parse(signature).fingerprint.hex()
        return cls(data, wire.parse(payload), sha256(payload).hexdigest(), signer)


@dataclass(slots=True)
class State:
    """By the service's name: the entry that was ready last (`running`); the one that was ready `before`, until the last
    one has shown that it stays up; what `failed` since; the SHA-256 of the package that was `installed`; and the order
    whose service the customer stopped (`held`)."""

    running: dict[str, wire.Entry] = field(default_factory=dict)
    before: dict[str, wire.Entry] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


_KINDS = {"running": wire.Entry, "before": wire.Entry, "failed": Failure}


class Journal:
    """The files below `folder`. `writes` and `written` (bytes) count what went to flash since the start."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._packages = folder, folder / "packages"
        self.writes = self.written = 0

    def begin(self, received: Received, staged: dict[str, Path]) -> None:
        """`received` is to be, from now on; the packages of it that are among `staged` (by SHA-256) are kept."""
        for entry in received.assignment.services:
            if entry.sha256 in staged and self.package(entry) is None:
                self._write(self._path(entry), staged[entry.sha256].read_bytes())
        self._write(self._folder / "assignment", received.data)

    def save(self, state: State) -> None:
        document = {name: getattr(state, name) for name in State.__slots__}
        for name, kind in _KINDS.items():
            document[name] = {key: {f: getattr(v, f) for f in kind.__slots__} for key, v in document[name].items()}
        self._write(self._folder / "running.json", json.dumps(document, sort_keys=True).encode())

    def keep(self, hashes: set[str]) -> None:
        """Of the packages only those with a SHA-256 in `hashes` stay."""
        if self._packages.is_dir():
            for path in self._packages.iterdir():
                if path.stem.rpartition("_")[2] not in hashes:
                    self._remove(path)

    def assignment(self) -> Received | None:
        """The assignment in force; a pull brings another where it is damaged."""
        data = flash.read(self._folder / "assignment")
        try:
            return Received.parse(data) if data else None
        except FormatError as error:
            log.error("%s/assignment is damaged (%s); the next pull brings another", self._folder, error)
            return None

    def state(self) -> State:
        data = flash.read(self._folder / "running.json")
        try:
            document = json.loads(data) if data else {}
            state = State(**{str(name): dict(values) for name, values in document.items()})
            for name, kind in _KINDS.items():
                setattr(state, name, {key: kind(**fields) for key, fields in getattr(state, name).items()})
        except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
            log.error("%s/running.json is damaged (%s); services are started anew", self._folder, error)
            return State()
        return state

    def passes(self) -> dict[str, float]:
        data = flash.read(self._folder / "passes.json")
        try:
            return {str(key): float(left) for key, left in json.loads(data).items()} if data else {}
        except (ValueError, TypeError, AttributeError) as error:
            log.error("%s/passes.json is damaged (%s); passes end by the clock alone", self._folder, error)
            return {}

    def save_passes(self, left: dict[str, float]) -> None:
        if left or (self._folder / "passes.json").exists():
            self._write(self._folder / "passes.json", json.dumps(left, sort_keys=True).encode())

    def package(self, entry: wire.Entry) -> Path | None:
        """The file of the package of `entry`, if it is here and whole."""
        path = self._path(entry)
        try:
            whole = sha256(path.read_bytes()).hexdigest() == entry.sha256
        except FileNotFoundError:
            return None
        return path if whole else None

    def _path(self, entry: wire.Entry) -> Path:
        return self._packages / f"{entry.package}_{entry.sha256}.ipk"

    def _write(self, path: Path, data: bytes) -> None:
        if flash.replace(path, data):
            self.writes, self.written = self.writes + 1, self.written + len(data)

    def _remove(self, path: Path) -> None:
        self.writes += flash.remove(path)


def identity(entry: wire.Entry) -> str:
    """What makes an entry another one to try: the package and the configuration."""
    text = json.dumps([entry.sha256, entry.config], sort_keys=True)
    return sha256(text.encode()).hexdigest()
