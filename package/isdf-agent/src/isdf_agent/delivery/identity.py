"""Who this router is to its manager, on flash; and how it becomes somebody else without being nobody in between.

    /etc/isdf/identity.json    the identity in force
    /etc/isdf/keys             the manager's keys statement, as it came
    /etc/isdf/enrolment.json   an enrolment that is under way: what identity.json will be, and the claim code; and from
                               the manager's answer on also that answer, with the keys statement

An enrolment begins with a device key on flash, before anybody hears of it, and the manager takes the same key twice: so
it can be begun again wherever it was cut off. Its end is one rename, of an enrolment.json that has the answer. What
follows (the other two files, then its removal) is repeated at the next start where it did not come to its end.
"""

from __future__ import annotations

import json
import os
from collections import namedtuple

from isdf.errors import FormatError
from isdf.formats import claim as claims
from isdf.formats import keys as statements
from isdf.log import Log
from isdf.path import Path

from . import flash

log = Log(__name__)

KEY_SIZE = 32  # bytes
_FIELDS = "manager claim overrules insecure device_key device line"


class Identity(namedtuple("Identity", _FIELDS, defaults=(None, None))):
    """`device` is the router's name at `manager`, and `device_key` (32 bytes) proves it. `claim` is the digest of the
    code that it came with; `overrules` that of the code in /etc/config/isdf at the time, which a person replaced by
    another one at the command line. `insecure`: that person allowed http. `line`: rates in kbit/s, or None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Identity({self.device!r} at {self.manager!r})"


class Enrolment(namedtuple("Enrolment", "identity code")):
    """What becomes of `identity` when its manager takes the claim `code`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Enrolment(at {self.identity.manager!r})"


class Identities:
    """The files in `folder`. What is damaged is told, and counts as not there."""

    def __init__(self, folder: Path) -> None:
        self._identity, self._keys, self._enrolment = (
            folder / name for name in ("identity.json", "keys", "enrolment.json")
        )

    def load(self) -> tuple[Identity, statements.Keys] | None:
        """The identity in force with its keys, None where there is none; first ends an enrolment that was answered."""
        self._finish()
        identity, data = self._in_force(), flash.read(self._keys)
        if identity is None or data is None:
            return None
        try:
            return identity, statements.read(data)
        except FormatError as error:
            log.error("%s is damaged (%s); this router must be enrolled again", self._keys, error)
            return None

    def under_way(self) -> Enrolment | None:
        """An enrolment that was begun and not answered yet."""
        document = _document(self._enrolment)
        try:
            return Enrolment(_identity(document), document["code"]) if document and "keys" not in document else None
        except (KeyError, TypeError, ValueError) as error:
            log.error("%s is damaged (%r); the enrolment begins anew", self._enrolment, error)
            return None

    def begin(self, manager: str, code: str, *, insecure: bool = False, overrules: str | None = None) -> Enrolment:
        """An enrolment with `code`, on flash. Its device key is the one that this code was shown with before, if any.

        `InvalidError` for a mistyped code.
        """
        digest, begun = claims.parse(code).digest, self.under_way()
        before = [begun.identity if begun else None, self._in_force()]
        key = next((identity.device_key for identity in before if identity and identity.claim == digest), None)
        identity = Identity(manager, digest, overrules, insecure, key or os.urandom(KEY_SIZE))
        begun = Enrolment(identity, code)
        flash.replace(self._enrolment, _text(identity, code=code))
        return begun

    def abandon(self) -> None:
        """Forget the enrolment under way."""
        flash.remove(self._enrolment)

    def complete(self, enrolment: Enrolment, device: str, line: dict | None, keys: bytes) -> Identity:
        """The manager has taken this router in as `device`: that is its identity from now on."""
        identity = enrolment.identity._replace(device=device, line=line)
        flash.replace(self._enrolment, _text(identity, keys=keys.decode()))
        self._finish()
        return identity

    def keep_keys(self, identity: Identity, keys: bytes) -> bool:
        """Keep a newer statement of the manager of `identity`; False where another identity came into force since."""
        found = self.load()
        if found is None or found[0].device_key != identity.device_key:
            return False
        return flash.replace(self._keys, keys)

    def _in_force(self) -> Identity | None:
        document = _document(self._identity)
        try:
            return None if document is None else _identity(document)
        except (KeyError, TypeError, ValueError) as error:
            log.error("%s is damaged (%r); this router must be enrolled again", self._identity, error)
            return None

    def _finish(self) -> None:
        document = _document(self._enrolment)
        if not document or "keys" not in document:
            return
        try:
            identity, keys = _identity(document), document["keys"].encode()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("%s is damaged (%r); the enrolment begins anew", self._enrolment, error)
            flash.remove(self._enrolment)
            return
        flash.replace(self._keys, keys)
        flash.replace(self._identity, _text(identity))
        flash.remove(self._enrolment)


def _document(path: Path) -> dict | None:
    data = flash.read(path)
    if data is None:
        return None
    try:
        document = json.loads(data)
        if isinstance(document, dict):
            return document
        error = "it is not a table"
    except ValueError as found:
        error = found
    log.error("%s is damaged (%s)", path, error)
    return None


def _identity(document: dict) -> Identity:
    values = {name: document[name] for name in _FIELDS.split()}
    values["device_key"] = bytes.fromhex(values["device_key"])
    if len(values["device_key"]) != KEY_SIZE or not isinstance(values["manager"], str):
        raise ValueError("it has no device key or no manager")
    return Identity(**values)


def _text(identity: Identity, **more: str) -> bytes:
    document = identity._asdict() | {"device_key": identity.device_key.hex()} | more
    return (json.dumps(document, sort_keys=True) + "\n").encode()
