"""Devices: the routers at customers' premises, and the UCI file by which a new one finds its manager."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import sqlalchemy as sa

from isdf import options
from isdf.errors import ConflictError, InvalidError, NotFoundError
from isdf.formats import usign
from isdf.model import parse_name, parse_rate

from . import audit, enrolment, storage

LINE = ("down", "up", "base_down", "base_up")


def parse_line(text: str) -> dict[str, int]:
    """Rates in kbit/s of `down=8000,up=8mbit,base_down=1200,base_up=150kBps`; plain numbers are kbit/s.

    The base is the whole line where it is not given. `InvalidError` names what is wrong.
    """
    rates: dict[str, int] = {}
    for word in filter(None, text.split(",")):
        key, _, value = (part.strip() for part in word.partition("="))
        if key not in LINE:
            raise InvalidError(f"--line has {key!r}; it takes down=..,up=..,base_down=..,base_up=.. (kbit/s, or 8mbit)")
        try:
            rates[key] = parse_rate(value + "kbit" if value.replace(".", "", 1).isdigit() else value) // 1000
        except InvalidError as error:
            raise InvalidError(f"--line {key}={value}: {error}") from None
    for key in ("down", "up"):
        if key not in rates:
            raise InvalidError(f"--line lacks {key}; it takes down=..,up=..,base_down=..,base_up=..")
        if rates.setdefault(f"base_{key}", rates[key]) > rates[key]:
            raise InvalidError(f"--line: base_{key} is more than the line carries {key}")
    return rates


def parse_options(words: list[str]) -> dict[str, str]:
    """Options of the section `agent` of `key=value` words; `InvalidError` for what the agent does not start with."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in options.OPTIONS or not equals or not value.strip():
            raise InvalidError(f"--set {word!r} is not option=value with one of {', '.join(options.OPTIONS)}")
        try:
            options.parse(key, value)
        except InvalidError as error:
            raise InvalidError(f"--set {error}") from None
        found[key] = value.strip()
    return found


def parse_push_from(words: list[str], url: str = "") -> list[str]:
    """The addresses from which the manager pushes: those given, else the host of its URL where that is an address.

    A name is not looked up: the router's firewall knows addresses alone, and what a name means changes. `InvalidError`
    for what is no address of one host.
    """
    if not words:
        try:
            words = [str(ipaddress.ip_address(urlsplit(url).hostname or ""))]
        except ValueError:
            return []
    found = []
    for word in words:
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            address = None
        if address is None or address.is_unspecified or getattr(address, "scope_id", None):
            raise InvalidError(f"--push-from {word!r} is no address; it takes one such as 192.0.2.1 or 2001:db8::1")
        found.append(str(address))
    return list(dict.fromkeys(found))


class Devices:
    """The devices in the database; claim codes name `catalogue_key`."""

    def __init__(self, store: storage.Storage, catalogue_key: usign.PublicKey, who: str) -> None:
        self._store, self._catalogue_key, self._who = store, catalogue_key, who

    def add(
        self, name: str, push_port: int, now: float, rates: dict[str, int] | None = None, factory: dict | None = None
    ) -> str:
        """A new device and its claim code. `ConflictError` if there is one of this name.

        `factory` is what `uci` takes; it is kept for a router that comes in the place of this one.
        """
        parse_name(name, "device")
        table = storage.device
        with self._store.write() as connection:
            if connection.execute(sa.select(table.c.name).where(table.c.name == name)).first():
                raise ConflictError(f"device {name!r} is there already; choose another name, or remove that one first")
            values = {"line": rates, "push_port": push_port, "factory": factory or {}}
            connection.execute(table.insert().values(name=name, created=now, **values))
            connection.execute(storage.contact.insert().values(device=name))
            audit.record(connection, self._who, "device add", name)
            return enrolment.renew(connection, name, self._catalogue_key)

    def replace(
        self, name: str, push_port: int | None, rates: dict[str, int] | None, factory: dict | None = None
    ) -> tuple[str, sa.Row]:
        """A new claim code for another router at the same place, and the device's row: None and what `factory` does
        not name are as before.

        What the router before knows is good until the new code is bound.
        """
        values = {k: v for k, v in (("push_port", push_port), ("line", rates)) if v is not None}
        with self._store.write() as connection:
            values["factory"] = find(connection, name, changing=True).factory | (factory or {})
            connection.execute(storage.device.update().where(storage.device.c.name == name).values(values))
            audit.record(connection, self._who, "device replace", name)
            code = enrolment.renew(connection, name, self._catalogue_key)
            return code, find(connection, name)

    def remove(self, name: str) -> None:
        """Forget a device; `ConflictError` while it has services, for the ISP's core must let go of them first."""
        order = storage.order
        with self._store.write() as connection:
            pushes = find(connection, name, changing=True).pushes
            mine = sa.select(order.c.service).where(order.c.device == name, order.c.state.in_(storage.OPEN))
            if services := connection.execute(mine).scalars().all():
                raise ConflictError(
                    f"{name} still has {', '.join(services)}; end that first: isdf-manager unsubscribe {name} SERVICE"
                )
            contact, kept = storage.contact, storage.manager
            failures = connection.execute(sa.select(contact.c.failures).where(contact.c.device == name)).scalar()
            counted = {"pushes": kept.c.pushes + pushes, "failures": kept.c.failures + failures}
            connection.execute(kept.update().values(counted))
            connection.execute(storage.device.delete().where(storage.device.c.name == name))
            audit.record(connection, self._who, "device remove", name)


def find(connection: sa.Connection, name: str, changing: bool = False) -> sa.Row:
    """The row of the device `name`, kept from others where it is `changing`; `NotFoundError`."""
    query = sa.select(storage.device).where(storage.device.c.name == name)
    if row := connection.execute(query.with_for_update() if changing else query).first():
        return row
    raise NotFoundError(f"device {name!r} is not known; 'isdf-manager device list' names them, 'device add' makes one")


def uci(url: str, code: str, push_port: int, rates: dict[str, int] | None, factory: dict) -> str:
    """A router's /etc/config/isdf as a factory writes it; keep it at mode 0600, for the claim code is in it.

    `factory` has, of what was given: "wan", a network device; "lan" and "push_from", lists; options of the agent.
    """
    agent = {"manager": url, "claim": code}
    if url.startswith("http:"):
        agent["insecure"] = "1"
    if push_port != options.PUSH_PORT:
        agent["push_port"] = str(push_port)
    agent |= {key: factory[key] for key in options.OPTIONS if key in factory}
    lines = ["config agent 'agent'", *(f"\toption {key} '{value}'" for key, value in agent.items())]
    lines += [f"\tlist push_from '{address}'" for address in parse_push_from(factory.get("push_from", []), url)]
    if rates or "wan" in factory or "lan" in factory:
        lines += ["", "config line 'line'", f"\toption wan '{factory.get('wan', 'wan')}'"]
        lines += [f"\tlist lan '{name}'" for name in factory.get("lan", ["br-lan"])]
        lines += [f"\toption {key} '{rates[key]}'" for key in LINE if rates]
    return "\n".join(lines) + "\n"
