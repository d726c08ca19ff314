"""The manager's home folder: its configuration `manager.yaml`, its keys, its database.

manager.yaml    configuration (mode 0600: it may hold keys of hooks)
manager.db      SQLite, unless `database` names another
keys/           see `keyring`
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from isdf.errors import InvalidError

from . import plain_yaml, rotation, signing
from .authority import Authority
from .keyring import Keyring
from .provision import Hook, parse_hooks
from .storage import Storage

DEFAULT_URL = "http://localhost:8080"
TEMPLATE = """\
# The services manager's configuration; docs/reference/manager-yaml.md explains each line.
url: {url}                  # as the routers reach it; https: with a certificate by the manager's own authority
# tls: none                 # a proxy in front has the certificate; or {{certificate: FILE, key: FILE}}
listen: ["[::]:8080"]       # both IPv6 and IPv4
threads: 16
# metrics_token: a-long-secret
# trusted_proxies: ["::1"]  # whose X-Forwarded-For is believed
{database}
# provision:                # what runs before a service is sold, and when its time is over
#   pay-per-site: {{command: [/usr/local/sbin/edge-rate], timeout: 10}}
#   vpn: {{url: "https://core.example/isdf", key: a-long-secret}}
"""
DATABASE = "# database: postgresql+psycopg://isdf@/isdf"
_CONNECTIONS = 8  # of the schedule, its hooks and the contacts, beside one for each thread that works on a request
KEYS = {"url", "tls", "listen", "threads", "trusted_proxies", "metrics_token", "database", "provision"}


@dataclass(frozen=True, slots=True)
class Config:
    """manager.yaml; what it leaves out has these values."""

    url: str = DEFAULT_URL
    tls: str | tuple[Path, Path] | None = None  # "none", or files of certificate and key; None: a certificate of ours
    listen: tuple[str, ...] = ("[::]:8080",)
    threads: int = 16
    trusted_proxies: tuple = ()
    metrics_token: str | None = None  # None: /metrics is not there
    database: str | None = None
    provision: dict[str, Hook] = field(default_factory=dict)

    @property
    def is_tls(self) -> bool:
        """Whether `serve` speaks TLS itself."""
        return self.url.startswith("https:") and self.tls != "none"


class Home:
    """Paths and configuration of the folder `path`; what is missing is an `InvalidError` that names the command."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.path / "keys")

    @property
    def catalogue_key(self) -> Path:
        return self.keyring.path("catalogue.sec")

    @property
    def config_file(self) -> Path:
        return self.path / "manager.yaml"

    def init(self, url: str, authority: Authority | None = None, database: str | None = None) -> None:
        """Make the folder, and the tables in `database` where it is given; never over what is there."""
        parse_url(url)
        if self.config_file.exists():
            raise InvalidError(f"{self.path} is a manager's home already; choose another folder with --home")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with closing(Storage(database or self._sqlite)) as store, ExitStack() as undo:
                store.create()
                undo.callback(store.destroy)
                self.keyring.folder.mkdir(mode=0o700)
                undo.callback(shutil.rmtree, self.keyring.folder)
                rotation.begin(self.keyring, authority)
                # Last, because it is what makes the folder a home.
                line = DATABASE if database is None else yaml.safe_dump({"database": database}, width=2000).strip()
                signing.write_new(self.config_file, TEMPLATE.format(url=url, database=line), 0o600)
                undo.pop_all()
        except FileExistsError as error:
            raise InvalidError(f"{error.filename} exists already; choose another folder with --home") from None
        except OSError as error:
            raise InvalidError(f"{self.path} cannot be made a manager's home: {error}") from None

    def config(self) -> Config:
        try:
            text = self.config_file.read_text()
        except FileNotFoundError:
            raise InvalidError(
                f"{self.path} is no manager's home; make it one with 'isdf-manager init', "
                "or name another by --home or ISDF_MANAGER_HOME"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{self.config_file} cannot be read: {error}") from None
        try:
            return parse_config(text, os.environ, self.path)
        except InvalidError as error:
            raise InvalidError(f"{self.config_file}: {error}") from None

    def storage(self, config: Config, durable: bool = True) -> Storage:
        if config.database is None and not (self.path / "manager.db").exists():
            raise InvalidError(f"the database {self.path / 'manager.db'} is not there; copy a backup to this place")
        store = Storage(config.database or self._sqlite, durable, config.threads + _CONNECTIONS)
        try:
            store.check()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def _sqlite(self) -> str:
        return f"sqlite:///{self.path / 'manager.db'}"


def parse_config(text: str, environment: dict, folder: Path) -> Config:
    """The configuration in `text`; ISDF_MANAGER_URL, _LISTEN (commas between) and _DATABASE go before it.

    Paths of hooks and of `tls` are relative to `folder`. `InvalidError` names the key at fault.
    """
    values = plain_yaml.load(text)
    if unknown := sorted(map(str, set(values) - KEYS)):
        raise InvalidError(f"has the unknown key '{unknown[0]}'; known are {', '.join(sorted(KEYS))}")
    for key in ("url", "database"):
        if value := environment.get(f"ISDF_MANAGER_{key.upper()}"):
            values[key] = value
    if value := environment.get("ISDF_MANAGER_LISTEN"):
        values["listen"] = value.split(",")
    url, tls = parse_url(values.get("url", DEFAULT_URL)), _tls(values.get("tls"), folder)
    if tls is not None and url.startswith("http:"):
        raise InvalidError(f"tls goes with an https address alone, and url is {url!r}; take it away, or mend url")
    return Config(
        url=url,
        tls=tls,
        listen=_texts("listen", values.get("listen", "[::]:8080")) or ("[::]:8080",),
        threads=_count("threads", values.get("threads", 16)),
        trusted_proxies=tuple(map(_network, _texts("trusted_proxies", values.get("trusted_proxies", ())))),
        metrics_token=_token(values.get("metrics_token")),
        database=values.get("database"),
        provision=parse_hooks(values.get("provision") or {}, folder),
    )


def parse_url(url: object) -> str:
    """The manager's address without a slash at its end; else `InvalidError`."""
    parts = None
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        valid = bool(parts and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.fragment or any(c in url for c in "'\" \n"):
        raise InvalidError(
            f"url {url!r} is not an address such as 'https://isdf.isp.example' or 'http://[2001:db8::1]:8080'"
        )
    return parts.scheme + url[len(parts.scheme) :].rstrip("/")


def _tls(value: object, folder: Path) -> str | tuple[Path, Path] | None:
    if value is None or value == "none":
        return value
    if not isinstance(value, dict) or set(value) != {"certificate", "key"} or not all(map(_is_text, value.values())):
        raise InvalidError("tls is neither 'none' nor a table of 'certificate' and 'key', each a file")
    return folder / value["certificate"], folder / value["key"]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _texts(key: str, value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise InvalidError(f"{key} is not a list of texts")
    return tuple(values)


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise InvalidError(f"{key} is {value!r}; it takes a number from 1 to 1000")
    return value


def _token(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) >= 16 and value.isascii()):
        raise InvalidError("metrics_token is missing or short: who knows it sees the metrics (16 characters or more)")
    return value


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidError(f"trusted_proxies has {text!r}: {error}") from None
