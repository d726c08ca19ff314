"""Every route of the manager, and the root where the parts of a process that serves are put together.

What it answers is described in docs/reference/manager-api.yaml, which a test compares with `ROUTES`.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable

import sqlalchemy as sa
from werkzeug import Request, Response
from werkzeug.routing import Map, Rule

from isdf.errors import NotFoundError
from isdf.formats import opkg_index

from . import catalogue, enrolment, limits, metrics, publications, reports, storage
from .accesslog import AccessLog
from .authentication import Authentication, feed_is_open
from .contacts import Contacts
from .dispatch import Dispatch, Work
from .home import Config, Home
from .orders import Orders
from .schedule import Schedule

ROUTES = Map(
    [
        Rule("/health", methods=["GET"], endpoint="health"),
        Rule("/metrics", methods=["GET"], endpoint="metrics"),
        Rule("/keys", methods=["GET"], endpoint="keys"),
        Rule("/enroll", methods=["POST"], endpoint="enroll"),
        Rule("/enroll/seal", methods=["POST"], endpoint="seal"),
        Rule("/feed/<device>/<secret>/<name>", methods=["GET"], endpoint="feed"),
        Rule("/feed/<device>/<secret>/<index>/<name>", methods=["GET"], endpoint="feed"),
        Rule("/device/<device>/assignment", methods=["GET"], endpoint="assignment"),
        Rule("/device/<device>/report", methods=["POST"], endpoint="report"),
    ],
    strict_slashes=True,
    merge_slashes=False,
    redirect_defaults=False,
)
_FOR_EVER = "private, max-age=604800, immutable"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_CHECKED = 1.0  # seconds that the database is believed to answer
_TYPES = {"Packages": "text/plain; charset=utf-8", "Packages.gz": "application/gzip", "Packages.sig": "text/plain"}


class Application:
    """The parts of a process that serves; `wsgi` is PEP 3333. From `start` to `close` pulls are written down."""

    def __init__(
        self, home: Home, config: Config, access_log: AccessLog, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = home.storage(config, durable=False)
        self._lasting = home.storage(config)  # the same database, for what a power cut must not take
        self._keyring, self._clock = home.keyring, clock
        self._published = publications.Publications(lambda: home.keyring.assignment)
        self._limits = limits.Limits()
        self._authentication = Authentication(self.store, self._limits, config.trusted_proxies, clock)
        self._metrics = metrics.Metrics(self.store, clock)
        self._token = f"Bearer {config.metrics_token}".encode() if config.metrics_token else b""
        self._checked = -_CHECKED
        self.contacts = Contacts(self.store)
        self.schedule = Schedule(Orders(self.store, self._published, config.provision, "serve").settling)
        endpoints = {
            "health": self._health, "metrics": self._show_metrics, "keys": self._keys, "enroll": self._enroll,
            "seal": self._seal, "feed": self._feed, "assignment": self._assignment, "report": self._report,
        }  # fmt: skip
        self.wsgi = Dispatch(ROUTES, endpoints, self._authentication.address, self._limits, self._metrics, access_log)

    def start(self) -> None:
        self.contacts.start()
        self.schedule.start()

    def pause(self) -> float:
        """Seconds until requests that are signed then are taken; a server lets nobody in before."""
        return self._authentication.pause()

    def close(self) -> None:
        """After the last request."""
        self.schedule.stop()
        self.contacts.stop()
        self.store.close()
        self._lasting.close()

    def _health(self, request: Request) -> Response | Work:
        def look(_: bytes) -> Response:
            with self.store.read() as connection:
                connection.execute(sa.select(1))
            self._checked = time.monotonic()
            return _json({"status": "ok"})

        return Work(0, look) if time.monotonic() - self._checked >= _CHECKED else _json({"status": "ok"})

    def _show_metrics(self, request: Request) -> Work:
        if not self._token or not hmac.compare_digest(request.headers.get("Authorization", "").encode(), self._token):
            raise NotFoundError("metrics are for who sends 'Authorization: Bearer' and metrics_token of manager.yaml")
        return Work(0, lambda _: Response(self._metrics.render(), content_type=_PROMETHEUS), known=True)

    def _keys(self, request: Request) -> Response:
        """The keys statement: read from its file, and only when that has changed."""
        statement = self._keyring.statement
        response = Response(statement.data, content_type="application/octet-stream")
        response.set_etag(statement.etag)
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)

    def _enroll(self, request: Request) -> Work:
        """Bind the key of a new router to the device of its claim code; a code that is not good costs no write."""
        limits.take(self._limits.enrolments, limits.prefix(request.remote_addr))

        def bind(body: bytes) -> Response:
            token, key = enrolment.parse(body)
            with self.store.read() as connection:
                enrolment.check(connection, token, key)
            with self._lasting.write() as connection:
                row = enrolment.enroll(connection, token, key, self._clock(), request.remote_addr)
            self._authentication.learn(row.name, key)
            return _json(enrolment.answer(row))

        return Work(enrolment.MAX_SIZE, bind)

    def _seal(self, request: Request) -> Work:
        """Show a new router that its keys statement is the newest one, before it shows its token."""
        limits.take(self._limits.enrolments, limits.prefix(request.remote_addr))

        def vouch(body: bytes) -> Response:
            name, nonce = enrolment.parse_question(body)
            with self.store.read() as connection:
                return _json({"seal": enrolment.seal(connection, name, nonce, self._keyring.statement.data)})

        return Work(enrolment.MAX_SIZE, vouch)

    def _feed(self, request: Request, device: str, secret: str, name: str, index: str | None = None) -> Work:
        """A file of the newest publication, or of the one whose `Packages` has the SHA-256 `index`."""
        known = self._authentication.knows_feed(device, secret)
        if known:
            limits.take(self._limits.files, device)
        else:
            limits.look(self._limits.refused, limits.prefix(request.remote_addr))
        table = storage.publication
        query = sa.select(table).where(table.c.device == device).order_by(table.c.serial.desc()).limit(1)
        if index is not None:
            query = query.where(table.c.index_sha256 == index)

        def fetch(_: bytes) -> Response:
            with self.store.read() as connection:
                row = connection.execute(query).first() if feed_is_open(connection, device, secret) else None
                data = _file(connection, row, name) if row else None
            if data is None:
                raise NotFoundError("there is no such feed or file; a router's feed is at /feed/DEVICE/SECRET/Packages")
            if not known:
                limits.take(self._limits.files, device)
            response = Response(data, content_type=_TYPES.get(name, "application/octet-stream"))
            response.add_etag()
            response.headers["Cache-Control"] = "private, no-cache" if index is None else _FOR_EVER
            return response.make_conditional(request)

        return Work(0, fetch, known)

    def _assignment(self, request: Request, device: str) -> Response | Work:
        """The signed assignment, made anew where it is out of date; the router's pull is written down."""
        found = self._authentication.signed(request, device)
        now = self._clock()

        def answer(served: publications.Served) -> Response:
            if served.etag in request.headers.get("If-None-Match", ""):
                response = Response(status=304)
            else:
                response = Response(served.assignment, content_type="application/octet-stream")
            response.set_etag(served.etag)
            response.headers["Isdf-Keys"] = str(self._keyring.statement.keys.version)
            response.headers["Cache-Control"] = "no-store"
            self._authentication.learn_feed(device, served.feed)
            self.contacts.pulled(device, served.serial, request.remote_addr, now)
            return response

        def renew(_: bytes) -> Response:
            with self.store.write() as connection:
                self._published.renewed(connection, device, now)
                served = publications.newest(connection, device)
            return answer(served)

        is_due = found.served is None or self._published.is_due(found.renew_at, found.signer, now)
        return Work(0, renew, known=True) if is_due else answer(found.served)

    def _report(self, request: Request, device: str) -> Work:
        """What the router says that it runs."""
        self._authentication.signed(request, device)

        def store(body: bytes) -> Response:
            report = reports.parse(self._authentication.body(request, body))
            with self.store.write() as connection:
                reports.store(connection, device, report, request.remote_addr, self._clock(), self._limits.notices)
            return Response(status=204)

        return Work(reports.MAX_SIZE, store, known=True)


def _file(connection: sa.Connection, row: sa.Row, name: str) -> bytes | None:
    if name == "Packages":
        return row.packages
    if name == "Packages.gz":
        return opkg_index.compress(row.packages)
    if name == "Packages.sig":
        return row.signature.encode()
    return catalogue.content(connection, row.files[name]) if name in row.files else None


def _json(value: dict) -> Response:
    return Response(json.dumps(value), content_type="application/json")
