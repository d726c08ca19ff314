"""What delivery keeps on flash, so that a power cut harms nothing and the way back needs no network.

    /etc/isdf/journal.json   the assignment that is being carried out; written before anything is changed
    /etc/isdf/packages/      the package of each service that runs, that is being installed, or whose time will come
    /etc/isdf/running.json   what was ready last of each service (its entry), and what failed
    /etc/isdf/passes.json    how many seconds each pass may still run
    /etc/isdf/assignment     the last assignment that was carried out, as it came over the wire

Each file is replaced as a whole (written beside it, fsync, rename, fsync of the folder), and only if it changes: flash
wears. What finds a journal at its start carries the assignment in it out again; every step of that is idempotent, and
the packages that it needs lie in `packages` before the journal is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from isdf.errors import FormatError
from isdf.formats import assignment as wire
from isdf.formats.usign import split_embedded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An entry that could not be carried out: its identity (see `identity`), why, and how often it was tried."""

    identity: str
    reason: str
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Received:
    """An assignment and the bytes in which it came."""

    data: bytes
    assignment: wire.Assignment

    @classmethod
    def parse(cls, data: bytes) -> Received:
        """Of bytes that were verified when they came; `FormatError` where they are damaged."""
        return cls(data, wire.parse(split_embedded(data)[1]))

    @property
    def digest(self) -> str:
        """SHA-256 of the assignment without its signature; between quotation marks it is its ETag."""
        return hashlib.sha256(split_embedded(self.data)[1]).hexdigest()


@dataclass(slots=True)
class State:
    """By the service's name: the entry that was ready last, and what failed since."""

    running: dict[str, wire.Entry] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)


class Journal:
    """The files below `folder`. `writes` and `written` (bytes) count what went to flash since the start."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._packages = folder, folder / "packages"
        self.writes = self.written = 0

    def begin(self, received: Received, staged: dict[str, Path]) -> None:
        """Keep the packages of `received` that are among `staged` (by SHA-256); note that it is being carried out."""
        for entry in received.assignment.services:
            if entry.sha256 in staged and self.package(entry) is None:
                self._write(self._path(entry), staged[entry.sha256].read_bytes())
        self._write(self._folder / "journal.json", json.dumps({"assignment": received.data.decode()}).encode())

    def pending(self) -> Received | None:
        """The assignment that was being carried out when the agent or the power went."""
        data = self._read("journal.json")
        try:
            return Received.parse(json.loads(data)["assignment"].encode()) if data else None
        except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
            log.error("%s/journal.json is damaged (%s); the assignment before stays in force", self._folder, error)
            return None

    def finish(self, received: Received, state: State, keep: set[str]) -> None:
        """`received` is carried out as far as it can be; of the packages only those with a SHA-256 in `keep` stay."""
        document = {
            "running": {name: asdict(entry) for name, entry in state.running.items()},
            "failed": {name: asdict(failure) for name, failure in state.failed.items()},
        }
        self._write(self._folder / "running.json", json.dumps(document, sort_keys=True).encode())
        self._write(self._folder / "assignment", received.data)
        self._remove(self._folder / "journal.json")
        if self._packages.is_dir():
            for path in self._packages.iterdir():
                if path.stem.rpartition("_")[2] not in keep:
                    self._remove(path)

    def assignment(self) -> Received | None:
        """The last assignment that was carried out."""
        data = self._read("assignment")
        try:
            return Received.parse(data) if data else None
        except FormatError as error:
            log.error("%s/assignment is damaged (%s); the next pull brings another", self._folder, error)
            return None

    def state(self) -> State:
        data = self._read("running.json")
        try:
            document = json.loads(data) if data else {"running": {}, "failed": {}}
            return State(
                {name: wire.Entry(**fields) for name, fields in document["running"].items()},
                {name: Failure(**fields) for name, fields in document["failed"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
            log.error("%s/running.json is damaged (%s); services are started anew", self._folder, error)
            return State()

    def passes(self) -> dict[str, float]:
        data = self._read("passes.json")
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
            whole = hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        except FileNotFoundError:
            return None
        return path if whole else None

    def _path(self, entry: wire.Entry) -> Path:
        return self._packages / f"{entry.package}_{entry.sha256}.ipk"

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, path: Path, data: bytes) -> None:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)  # a full flash must not stay full of halves
            raise
        self._sync(path.parent)
        self.writes, self.written = self.writes + 1, self.written + len(data)

    def _remove(self, path: Path) -> None:
        if path.exists():
            path.unlink()
            self._sync(path.parent)
            self.writes += 1

    @staticmethod
    def _sync(folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def identity(entry: wire.Entry) -> str:
    """What makes an entry another one to try: the package and the configuration."""
    text = json.dumps([entry.sha256, entry.config], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
