"""Making and replacing the keys of a home: each change is a keys statement of a higher version.

The new secret is written first, then the statement that names it is put in place of the old one (that is the change),
then the new secret takes the name of the old one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from isdf.errors import InvalidError
from isdf.formats import keys, usign
from isdf.value import replace

from . import authority, signing
from .authority import Authority
from .keyring import Keyring


def begin(ring: Keyring, own: Authority | None) -> None:
    """The first keys, with the operator's `own` authority or one that is made; `FileExistsError` over others."""
    catalogue, assignment = signing.generate("iSDF catalogue"), signing.generate("iSDF assignment")
    chosen = own or authority.make()
    for name, text in (
        ("catalogue.sec", catalogue.dump()), ("assignment.sec", assignment.dump()), ("authority.pem", chosen.dump()),
    ):  # fmt: skip
        signing.write_new(ring.path(name), text, 0o600)
    first = keys.Keys(
        version=_version(0), catalogue_key=catalogue.public_key().line, assignment_key=assignment.public_key().line,
        authority=chosen.pem,
    )  # fmt: skip
    signing.write_new(ring.path("statement"), _signed(first, catalogue), 0o644)


def replace_assignment(ring: Keyring, catalogue: usign.SecretKey) -> keys.Keys:
    """A new assignment key; every device gets a new assignment with its next pull. The statement then in force."""
    _tidy(ring)
    key = signing.generate("iSDF assignment")
    signing.replace(ring.path("assignment.sec.next"), key.dump(), 0o600)
    return _put(ring, catalogue, assignment_key=key.public_key().line)


def add_authority(ring: Keyring, catalogue: usign.SecretKey, own: Authority | None) -> keys.Keys:
    """A second authority beside the one in force, so that routers know it before a certificate is signed by it."""
    _tidy(ring)
    if ring.path("authority.pem.next").exists():
        raise InvalidError(
            "a new authority is there already; finish first: isdf-manager keys rotate authority --finish"
        )
    chosen = own or authority.make()
    signing.replace(ring.path("authority.pem.next"), chosen.dump(), 0o600)
    return _put(ring, catalogue, authority=ring.authority().pem + chosen.pem)


def finish_authority(ring: Keyring, catalogue: usign.SecretKey) -> keys.Keys:
    """The second authority alone; what the first one signed is believed no more."""
    _tidy(ring)
    if not ring.path("authority.pem.next").exists():
        raise InvalidError("there is no new authority to go on with; begin first: isdf-manager keys rotate authority")
    return _put(ring, catalogue, authority=authority.read(ring.path("authority.pem.next")).pem)


def _put(ring: Keyring, catalogue: usign.SecretKey, **changes: str) -> keys.Keys:
    old = ring.read().keys
    new = replace(old, version=_version(old.version), **changes)
    signing.replace(ring.path("statement"), _signed(new, catalogue), 0o644)
    _tidy(ring)
    return new


def _tidy(ring: Keyring) -> None:
    """Give what the statement names its proper name, and remove what a rotation that was killed left."""
    named = ring.read().keys

    def is_named(path: Path) -> bool:
        if "assignment" in path.name:
            return signing.read_secret(path, "assignment").public_key().line == named.assignment_key
        return authority.read(path).pem in named.authority

    for name in ("assignment.sec", "authority.pem"):
        path, following = ring.path(name), ring.path(f"{name}.next")
        if not following.exists():
            continue
        if not is_named(following):
            following.unlink()
        elif not path.exists() or not is_named(path):
            os.replace(following, path)


def _signed(statement: keys.Keys, catalogue: usign.SecretKey) -> str:
    payload = keys.dump(statement)
    text = usign.sign(payload, catalogue, signing.ed25519_sign).dump()
    return usign.embed(payload, text).decode()


def _version(last: int) -> int:
    return max(last + 1, int(time.time() * 1000))
