"""The WSGI application: every route of the manager, and the root where its parts are put together.

What it answers is described in docs/reference/manager-api.yaml, which a test compares with `ROUTES`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable

import sqlalchemy as sa
from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from isdf.errors import IsdfError, NotFoundError, RefusedError
from isdf.formats import opkg_index

from . import catalogue, enrolment, metrics, problems, publications, reports, storage
from .accesslog import AccessLog
from .authentication import Authentication, feed_is_open
from .home import Config, Home
from .keyring import Keyring
from .orders import Orders
from .schedule import Schedule

log = logging.getLogger(__name__)

ROUTES = Map(
    [
        Rule("/health", methods=["GET"], endpoint="health"),
        Rule("/metrics", methods=["GET"], endpoint="metrics"),
        Rule("/keys", methods=["GET"], endpoint="keys"),
        Rule("/enroll", methods=["POST"], endpoint="enroll"),
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
_PULLED = (  # made once, executed for each pull
    storage.contact.update()
    .where(storage.contact.c.device == sa.bindparam("name"))
    .values(
        time=sa.bindparam("now"), pulled_at=sa.bindparam("now"), address=sa.bindparam("address"),
        pulled=sa.bindparam("serial"), pulls=storage.contact.c.pulls + 1,
    )
)  # fmt: skip
_TYPES = {"Packages": "text/plain; charset=utf-8", "Packages.gz": "application/gzip", "Packages.sig": "text/plain"}


class Application:
    """PEP 3333. Threads share it; each request is at most two short transactions."""

    def __init__(
        self, store: storage.Storage, lasting: storage.Storage, keyring: Keyring, published: publications.Publications,
        authentication: Authentication, access_log: AccessLog, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store, self._keyring, self._published, self._authentication = store, keyring, published, authentication
        self._lasting = lasting  # the same database, for what a power cut must not take
        self._access_log, self._clock = access_log, clock

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        begun = time.perf_counter()
        request = Request(environ)
        request.max_content_length = reports.MAX_SIZE
        response = self._respond(request)
        self._access_log.write(request, response, self._authentication.address(request), time.perf_counter() - begun)
        return response(environ, start_response)

    def close(self) -> None:
        """At the end of the process that serves."""
        self._store.close()
        self._lasting.close()

    def _respond(self, request: Request) -> Response:
        try:
            endpoint, values = ROUTES.bind_to_environ(request.environ).match()
            return getattr(self, f"_{endpoint}")(request, **values)
        except HTTPException as error:
            return problems.of_http(error)
        except RefusedError as error:
            return problems.of_error(error)
        except IsdfError as error:
            log.error("a request failed: %s", error)  # names the database, which is nobody's business outside
        except Exception:
            log.exception("a request failed")  # without its path, which may hold a secret
        return problems.problem(500, "failed", "The manager failed", "an error of the manager; its log tells more")

    def _health(self, request: Request) -> Response:
        with self._store.read() as connection:
            connection.execute(sa.select(1))
        return _json({"status": "ok"})

    def _metrics(self, request: Request) -> Response:
        with self._store.read() as connection:
            text = metrics.render(connection, self._clock())
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")

    def _keys(self, request: Request) -> Response:
        """The keys statement: read from its file, and only when that has changed."""
        statement = self._keyring.statement
        response = Response(statement.data, content_type="application/octet-stream")
        response.set_etag(statement.etag)
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)

    def _enroll(self, request: Request) -> Response:
        """Bind the key of a new router to the device of its claim code; a code that is not good costs no write."""
        request.max_content_length = enrolment.MAX_SIZE
        token, key = enrolment.parse(request.get_data())
        with self._store.read() as connection:
            enrolment.check(connection, token, key)
        with self._lasting.write() as connection:
            row = enrolment.enroll(connection, token, key, self._clock(), self._authentication.address(request))
        return _json(enrolment.answer(row))

    def _feed(self, request: Request, device: str, secret: str, name: str, index: str | None = None) -> Response:
        """A file of the newest publication, or of the one whose `Packages` has the SHA-256 `index`."""
        table = storage.publication
        query = sa.select(table).where(table.c.device == device).order_by(table.c.serial.desc()).limit(1)
        if index is not None:
            query = query.where(table.c.index_sha256 == index)
        with self._store.read() as connection:
            row = connection.execute(query).first() if feed_is_open(connection, device, secret) else None
            data = _file(connection, row, name) if row else None
        if data is None:
            raise NotFoundError("there is no such feed or file; a router's feed is at /feed/DEVICE/SECRET/Packages")
        response = Response(data, content_type=_TYPES.get(name, "application/octet-stream"))
        response.add_etag()
        response.headers["Cache-Control"] = "private, no-cache" if index is None else _FOR_EVER
        return response.make_conditional(request)

    def _assignment(self, request: Request, device: str) -> Response:
        """The signed assignment, made anew where it is out of date; the router's pull is written down."""
        self._authentication.signed(request, device)
        now, address = self._clock(), self._authentication.address(request)
        with self._store.write() as connection:
            self._published.renewed(connection, device, now)
            served = publications.newest(connection, device)
            connection.execute(_PULLED, {"name": device, "now": now, "address": address, "serial": served.serial})
        response = Response(served.assignment, content_type="application/octet-stream")
        response.set_etag(served.etag)
        response.headers["Isdf-Keys"] = str(self._keyring.statement.keys.version)
        response.headers["Cache-Control"] = "no-store"
        return response.make_conditional(request)

    def _report(self, request: Request, device: str) -> Response:
        """What the router says that it runs."""
        self._authentication.signed(request, device)
        report = reports.parse(self._authentication.body(request))
        with self._store.write() as connection:
            reports.store(connection, device, report, self._authentication.address(request), self._clock())
        return Response(status=204)


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


def make(home: Home, config: Config, access_log: AccessLog | None = None) -> tuple[Application, Schedule]:
    """The application and the schedule of a process that serves `home`; it needs the assignment key alone."""
    store = home.storage(config, durable=False)
    published = publications.Publications(lambda: home.keyring.assignment)
    authentication = Authentication(store, config.trusted_proxies)
    orders = Orders(store, published, config.provision, "serve")
    application = Application(
        store, home.storage(config), home.keyring, published, authentication, access_log or AccessLog()
    )
    return application, Schedule(orders.settling)
