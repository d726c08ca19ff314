"""The catalogue: packing a service's folder, signing the package with the catalogue key, finding the newest version.

What is published never changes: routers hold its hash. A changed service is a new version.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from isdf.errors import ConflictError, FailedError, FormatError, InvalidError, NotFoundError
from isdf.formats import assignment, ipk, opkg_index, service_package, usign
from isdf.formats.assignment import PREFIX

from . import audit, configuration, manifest, schema, signing, storage

_STAYS_BEHIND = {"Makefile", "service.yaml", "controller.py"}
_MAX_BYTES, _MAX_FILES = 1 << 20, 256


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` did; `new` is False when the very same had been published before."""

    service: str
    version: str
    filename: str
    size: int
    new: bool


def pack(folder: Path) -> tuple[dict, bytes]:
    """The manifest and the .ipk of the service in `folder`; the same bytes for the same files. `InvalidError`."""
    described = manifest.load(folder)
    name = described["name"]
    base = f"/usr/lib/isdf/services/{name}"
    files = [ipk.File(f"{base}/service.json", 0o644, manifest.as_json(described))]
    files += [ipk.File(f"{base}/{path}", mode, data) for path, mode, data in _files(folder)]
    control = {
        "Package": PREFIX + name,
        "Version": described["version"],
        "Depends": "isdf-agent",
        "Section": "net",
        "Require-User": f"isdf-{name}:isdf",
        "Architecture": "all",
        "Description": " ".join(f"{described['title']}. {described['description']}".split()),
    }
    try:
        data = ipk.build(control, files)
        # What routers would refuse is not published.
        service_package.check_service_package(ipk.read(data), name)
    except (InvalidError, FormatError) as error:
        raise InvalidError(f"{folder}: {error}") from None
    return described, data


def _files(folder: Path) -> list[tuple[str, int, bytes]]:
    """Path below `folder`, mode and content of what goes into the package."""
    found, total = [], 0
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if below.parts[0] in _STAYS_BEHIND or any(p.startswith(".") or p == "__pycache__" for p in below.parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidError(f"{path} is a link or a device; a service has plain files alone")
        if str(below) == "service.json":
            raise InvalidError(f"{path} is in the way: service.json is made from service.yaml")
        if path.is_dir():
            continue
        try:
            data, mode = path.read_bytes(), path.stat().st_mode
        except OSError as error:
            raise InvalidError(f"{path} cannot be read: {error.strerror}") from None
        if path.suffix == ".py":
            _compile(path, data)
        total += len(data)
        found.append((below.as_posix(), 0o755 if mode & 0o100 else 0o644, data))
        if total > _MAX_BYTES or len(found) > _MAX_FILES:
            raise InvalidError(f"{folder} has more than {_MAX_FILES} files or 1 MB; a service is small")
    return found


def _compile(path: Path, data: bytes) -> None:
    try:
        compile(data, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InvalidError(f"{path}, line {error.lineno}, is no Python: {error.msg}") from None
    except ValueError as error:
        raise InvalidError(f"{path} is no Python: {error}") from None


class Catalogue:
    """The packages that are published, newest version first."""

    def __init__(self, store: storage.Storage, who: str) -> None:
        self._store, self._who = store, who

    def publish(self, folder: Path, key: usign.SecretKey, now: float) -> Published:
        """Pack, sign and add the service in `folder`; all who have it get the new version with their next pull.

        `InvalidError` for a folder that is no service, `ConflictError` for a version that is there with other content,
        is below the newest, or does not take a configuration that is sold.
        """
        described, data = pack(folder)
        name, version = described["name"], described["version"]
        package = PREFIX + name
        result = Published(name, version, f"{package}_{version}_all.ipk", len(data), True)
        digest = hashlib.sha256(data).hexdigest()
        message = assignment.catalogue_message(package, version, len(data), digest)
        row = {
            "service": name, "version": version, "package": package, "filename": result.filename, "size": len(data),
            "sha256": digest, "signature": usign.sign(message, key, signing.ed25519_sign).line, "manifest": described,
            "index_entry": opkg_index.entry(ipk.read(data).control, result.filename, len(data), digest),
            "data": data, "published": now,
        }  # fmt: skip
        table = storage.package
        with self._store.write() as connection:
            self._store.keep(connection, name)
            rows = connection.execute(sa.select(table).where(table.c.service == name).order_by(table.c.id.desc())).all()
            for old in rows:
                if old.version == version:
                    return self._again(connection, old, data)
            if rows and manifest.version_key(rows[0].version) > manifest.version_key(version):
                raise ConflictError(
                    f"{name} {version} is below {rows[0].version}, which is published; raise 'version' in service.yaml"
                )
            _fits_what_is_sold(connection, name, version, described["configuration"])
            connection.execute(table.insert().values(row))
            holders = sa.select(storage.order.c.device).where(
                storage.order.c.service == name, storage.order.c.state == "active"
            )
            connection.execute(storage.device.update().where(storage.device.c.name.in_(holders)).values(renew_at=0))
            audit.record(connection, self._who, "publish", service=name, version=version, sha256=digest)
        return result

    def _again(self, connection: sa.Connection, old: sa.Row, data: bytes) -> Published:
        """The version `old` is published with `data` once more: nothing, or its bytes are mended."""
        what = f"{old.service} {old.version}"
        if hashlib.sha256(old.data).hexdigest() == old.sha256:
            if _content(old.data) != _content(data):
                raise ConflictError(f"{what} is published already with other content; raise 'version' in service.yaml")
            return Published(old.service, old.version, old.filename, old.size, False)
        if hashlib.sha256(data).hexdigest() != old.sha256:
            raise ConflictError(
                f"{what} is damaged in the database, and this folder does not make the same bytes; "
                "restore a backup, or raise 'version' in service.yaml"
            )
        connection.execute(storage.package.update().where(storage.package.c.id == old.id).values(data=data))
        audit.record(connection, self._who, "mend", service=old.service, version=old.version)
        return Published(old.service, old.version, old.filename, old.size, True)


def newest(connection: sa.Connection, service: str) -> sa.Row:
    """The row of the newest version of `service`, without its data; `NotFoundError` names what there is."""
    table = storage.package
    columns = [c for c in table.c if c.name != "data"]
    query = sa.select(*columns).where(table.c.service == service).order_by(table.c.id.desc()).limit(1)
    if row := connection.execute(query).first():
        return row
    known = names(connection)
    raise NotFoundError(
        f"service {service!r} is not published; "
        + (f"published are {', '.join(known)}" if known else "publish its folder first: isdf-manager publish FOLDER")
    )


def names(connection: sa.Connection) -> list[str]:
    """The services that are published."""
    column = storage.package.c.service
    return list(connection.execute(sa.select(column).distinct().order_by(column)).scalars())


def content(connection: sa.Connection, package: int) -> bytes:
    """The bytes of the package with this id; `FailedError` where they are not those that were published."""
    table = storage.package
    query = sa.select(table.c.service, table.c.version, table.c.sha256, table.c.data).where(table.c.id == package)
    row = connection.execute(query).one()
    if hashlib.sha256(row.data).hexdigest() != row.sha256:
        raise FailedError(
            f"the package of {row.service} {row.version} is damaged in the database (its bytes have another SHA-256); "
            "mend it by publishing its folder again, or publish a higher version"
        )
    return row.data


def _fits_what_is_sold(connection: sa.Connection, service: str, version: str, described: dict) -> None:
    """`ConflictError` unless the schema of the new version takes every configuration that routers would get with it."""
    table = storage.order
    query = sa.select(table.c.device, table.c.config, table.c.next_config).order_by(table.c.device)
    refused, devices, first = {}, [], ""
    for row in connection.execute(query.where(table.c.service == service, table.c.state.in_(("ordered", "active")))):
        for config in filter(None, (row.config, row.next_config)):
            text = json.dumps(config, sort_keys=True)
            if text not in refused:
                refused[text] = _fault(config, described)
            if refused[text]:
                devices.append(row.device)
                first = first or refused[text]
    if devices:
        names = list(dict.fromkeys(devices))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise ConflictError(
            f"{service} {version} does not take the configuration of {', '.join(names[:5])}{more} ({first}); "
            "give a new key a default, or configure or unsubscribe them first"
        )


def _fault(config: dict, described: dict) -> str | None:
    try:
        schema.check(configuration.filled(config, described), described, "the configuration")
    except InvalidError as error:
        return str(error)
    return None


def _content(data: bytes) -> tuple:
    """What is compared of two packages: not their bytes, which differ from one version of zlib to another."""
    package = ipk.read(data)
    return {**package.control, "Installed-Size": ""}, package.scripts, package.files


def catalogue_key(path: os.PathLike, public: usign.PublicKey) -> usign.SecretKey:
    """The secret key in the file `path`; `InvalidError` unless it is the one that the routers know as `public`."""
    key = signing.read_secret(Path(path), "catalogue")
    if key.public != public.key:
        raise InvalidError(f"{path} is not the catalogue key of this manager: its routers would refuse what it signs")
    return key
