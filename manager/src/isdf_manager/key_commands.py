"""What the commands `isdf-manager keys ...` do; the arguments are those of `cli.parser`."""

from __future__ import annotations

import argparse

from isdf.errors import InvalidError

from . import audit, authority, rotation
from .clock import format_time
from .commands import Parts, own_authority, say
from .storage import Storage


def keys_show(parts: Parts, arguments: argparse.Namespace) -> None:
    told = parts.home.keyring.read().keys
    here = "here" if parts.home.catalogue_key.exists() else "elsewhere"
    for key, value in (
        ("statement", f"version {told.version} ({format_time(told.version / 1000)})"),
        ("catalogue", f"{told.catalogue_key} (its secret is {here})"),
        ("assignment", told.assignment_key),
        *(("authority", line) for line in authority.describe(told.authority)),
        ("certificate", _certificate(parts)),
    ):
        say(f"{key + ':':14} {value}")


def rotate_assignment(parts: Parts, arguments: argparse.Namespace) -> None:
    store = parts.store  # what keeps it from being opened is said before a key is another one
    told = rotation.replace_assignment(parts.home.keyring, parts.catalogue_secret(arguments.key))
    _record(store, parts.who, "keys rotate assignment", told.version)
    say(f"the assignment key is {told.assignment_key}, by the keys statement {told.version}")
    say("'serve' uses it from now on; each router takes it over with its next pull")


def rotate_authority(parts: Parts, arguments: argparse.Namespace) -> None:
    store = parts.store  # what keeps it from being opened is said before a key is another one
    ring, secret = parts.home.keyring, parts.catalogue_secret(arguments.key)
    if arguments.finish:
        if arguments.authority or arguments.authority_key:
            raise InvalidError(
                "--finish goes on with the authority that is there; --authority names one at the beginning"
            )
        told = rotation.finish_authority(ring, secret)
        _record(store, parts.who, "keys rotate authority --finish", told.version)
        say(f"the keys statement {told.version} names the new authority alone")
        if parts.config.is_tls and not parts.config.tls:
            say("'serve' shows a certificate of this authority within a second")
        elif parts.config.is_tls:
            say("'serve' shows the certificate that 'tls' in manager.yaml names; it must be of this authority now")
        elif parts.config.url.startswith("https:"):
            say("the proxy in front must show a certificate of this authority now")
        return
    told = rotation.add_authority(ring, secret, own_authority(arguments))
    _record(store, parts.who, "keys rotate authority", told.version)
    say(f"the keys statement {told.version} names the new authority beside the old one")
    say("when the routers have pulled: isdf-manager keys rotate authority --finish")


def _record(store: Storage, who: str, action: str, version: int) -> None:
    with store.write() as connection:
        audit.record(connection, who, action, version=version)


def _certificate(parts: Parts) -> str:
    """What `serve` would show, described alone: it makes it."""
    config = parts.config
    if not config.is_tls:
        return "none; " + ("a proxy has it" if config.url.startswith("https:") else "routers call by plain http")
    file = authority.files(parts.home, config)[0]
    wrong = authority.wrong(parts.home, config)
    if wrong is None:
        return f"{file}, for {config.url}"
    return f"{file}, which routers would refuse: {wrong}" if config.tls else f"none yet; 'serve' makes {file}"
