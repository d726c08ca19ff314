"""The keys of a manager's home, as its keys statement names them; `serve` sees without a restart that they changed.

keys/statement         the keys statement, signed by the catalogue key; replacing this file is what changes keys
keys/catalogue.sec     signs packages and keys statements; move it to the machine that publishes
keys/assignment.sec    signs assignments and indexes; `serve` needs it
keys/authority.pem     the certificate authority and its key; without the key where it is the operator's, who keeps it
keys/server.pem        key and certificate of `serve` by this authority (`authority.server_certificate`)

Of a key that is being replaced the next one lies beside it (`.next`). Which one is in force says the statement alone,
so that a `rotation` that was killed has either happened or not.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import FormatError, InvalidError, SignatureError
from isdf.formats import keys, usign

from . import authority, signing

_TRIES = 3  # a rotation may end between the reading of two files


@dataclass(frozen=True, slots=True)
class Statement:
    """The keys statement as it is served (`data`: signature and payload), read; `etag` is the payload's SHA-256."""

    data: bytes
    keys: keys.Keys
    etag: str


class Keyring:
    """The keys in `folder`; threads share it. `InvalidError` names the file that is missing or wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._mark: tuple | None = None
        self._statement: Statement | None = None
        self._assignment: usign.SecretKey | None = None

    @property
    def statement(self) -> Statement:
        """The keys statement in force."""
        return self._current()[0]

    @property
    def assignment(self) -> usign.SecretKey:
        """The assignment key in force."""
        return self._current()[1]

    def check(self) -> None:
        """`InvalidError` unless the statement and the assignment key, which `serve` needs, are there."""
        self._current()

    def authority(self) -> authority.Authority:
        """The authority that signs the certificate of `serve`; without its key where the operator keeps that."""
        known = self.read().keys.authority
        for name in ("authority.pem", "authority.pem.next"):
            if self.path(name).exists() and (found := authority.read(self.path(name))).pem in known:
                return found
        raise InvalidError(f"no authority in {self.folder} is one of the keys statement; restore authority.pem")

    def read(self) -> Statement:
        """The statement as it is on the disk, its signature verified."""
        path = self.path("statement")
        try:
            data = path.read_bytes()
            text, payload = usign.split_embedded(data)
            found = keys.parse(payload)
            public = usign.PublicKey.parse(found.catalogue_key)
            usign.verify(payload, usign.Signature.parse(text), public, signing.ed25519_verify)
        except OSError as error:
            raise InvalidError(f"the keys statement {path} cannot be read: {error.strerror}; restore it") from None
        except (FormatError, SignatureError) as error:
            raise InvalidError(f"the keys statement {path} cannot be used: {error}; restore it") from None
        return Statement(data, found, hashlib.sha256(payload).hexdigest())

    def path(self, name: str) -> Path:
        return self.folder / name

    def _current(self) -> tuple[Statement, usign.SecretKey]:
        for _ in range(_TRIES):
            try:
                found = os.stat(self.path("statement"))
            except OSError:
                break
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            with self._lock:
                if self._mark == mark:
                    return self._statement, self._assignment
            statement = self.read()
            for name in ("assignment.sec", "assignment.sec.next"):
                if not self.path(name).exists():
                    continue
                key = signing.read_secret(self.path(name), "assignment")
                if key.public_key().line == statement.keys.assignment_key:
                    with self._lock:
                        self._mark, self._statement, self._assignment = mark, statement, key
                    return statement, key
        self.read()
        raise InvalidError(
            f"the assignment key {self.path('assignment.sec')} is not there, or not the one that the keys statement "
            "names; restore it, or make a new one: isdf-manager keys rotate assignment"
        )
