"""The WSGI application: every route of the manager, and the root where its parts are put together.

What it answers is described in docs/reference/manager-api.yaml, which a test compares with `ROUTES`.
"""

from __future__ import annotations

import hmac
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

from . import catalogue, enrolment, limits, metrics, problems, publications, reports, storage
from .accesslog import AccessLog
from .authentication import Authentication, ClockError, feed_is_open
from .contacts import Contacts
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
_CHECKED = 1.0  # seconds that the database is believed to answer
_TYPES = {"Packages": "text/plain; charset=utf-8", "Packages.gz": "application/gzip", "Packages.sig": "text/plain"}


class Application:
    """PEP 3333. Threads share it; each request is at most two short transactions."""

    def __init__(
        self, store: storage.Storage, lasting: storage.Storage, keyring: Keyring, published: publications.Publications,
        authentication: Authentication, limited: limits.Limits, access_log: AccessLog,
        metrics_token: str | None = None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store, self._keyring, self._published, self._authentication = store, keyring, published, authentication
        self._lasting = lasting  # the same database, for what a power cut must not take
        self._limits, self._access_log, self._clock = limited, access_log, clock
        self.contacts, self.metrics = Contacts(store), metrics.Metrics(store, clock)
        self._token = f"Bearer {metrics_token}".encode() if metrics_token else b""
        self._checked = -_CHECKED

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        begun = time.perf_counter()
        environ["REMOTE_ADDR"] = self._authentication.address(environ)  # the router's, where a proxy is in front
        request = Request(environ)
        request.max_content_length = reports.MAX_SIZE
        endpoint, response, logged = self._respond(request)
        self.metrics.answered(endpoint, response.status_code)
        self._access_log.write(request, response, time.perf_counter() - begun, logged)
        return response(environ, start_response)

    def close(self) -> None:
        """At the end of the process that serves."""
        self.contacts.stop()
        self._store.close()
        self._lasting.close()

    def _respond(self, request: Request) -> tuple[str, Response, bool]:
        """The endpoint, its answer, and whether that shall be logged: who is refused without end shall not fill it."""
        endpoint = "none"
        try:
            endpoint, values = ROUTES.bind_to_environ(request.environ).match()
            return endpoint, getattr(self, f"_{endpoint}")(request, **values), True
        except (ClockError, problems.BusyError) as error:
            return endpoint, problems.of_error(error), True
        except (HTTPException, RefusedError) as error:
            logged = not self._limits.refused.take(limits.prefix(request.remote_addr))
            answer = problems.of_http(error) if isinstance(error, HTTPException) else problems.of_error(error)
            return endpoint, answer, logged
        except IsdfError as error:
            log.error("a request failed: %s", error)  # names the database, which is nobody's business outside
        except Exception:
            log.exception("a request failed")  # without its path, which may hold a secret
        answer = problems.problem(500, "failed", "The manager failed", "an error of the manager; its log tells more")
        return endpoint, answer, True

    def _health(self, request: Request) -> Response:
        if time.monotonic() - self._checked >= _CHECKED:
            with self._store.read() as connection:
                connection.execute(sa.select(1))
            self._checked = time.monotonic()
        return _json({"status": "ok"})

    def _metrics(self, request: Request) -> Response:
        if not self._token or not hmac.compare_digest(request.headers.get("Authorization", "").encode(), self._token):
            raise NotFoundError(
                "the metrics are for who sends 'Authorization: Bearer' and metrics_token of manager.yaml"
            )
        return Response(self.metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")

    def _keys(self, request: Request) -> Response:
        """The keys statement: read from its file, and only when that has changed."""
        statement = self._keyring.statement
        response = Response(statement.data, content_type="application/octet-stream")
        response.set_etag(statement.etag)
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)

    def _enroll(self, request: Request) -> Response:
        """Bind the key of a new router to the device of its claim code; a code that is not good costs no write."""
        limits.take(self._limits.enrolments, limits.prefix(request.remote_addr))
        request.max_content_length = enrolment.MAX_SIZE
        token, key = enrolment.parse(request.get_data())
        with self._store.read() as connection:
            enrolment.check(connection, token, key)
        with self._lasting.write() as connection:
            row = enrolment.enroll(connection, token, key, self._clock(), request.remote_addr)
        return _json(enrolment.answer(row))

    def _feed(self, request: Request, device: str, secret: str, name: str, index: str | None = None) -> Response:
        """A file of the newest publication, or of the one whose `Packages` has the SHA-256 `index`."""
        if wait := self._limits.refused.wait(limits.prefix(request.remote_addr)):
            raise limits.TooManyError(wait)
        table = storage.publication
        query = sa.select(table).where(table.c.device == device).order_by(table.c.serial.desc()).limit(1)
        if index is not None:
            query = query.where(table.c.index_sha256 == index)
        with self._store.read() as connection:
            row = connection.execute(query).first() if feed_is_open(connection, device, secret) else None
            data = _file(connection, row, name) if row else None
        if data is None:
            raise NotFoundError("there is no such feed or file; a router's feed is at /feed/DEVICE/SECRET/Packages")
        limits.take(self._limits.files, device)
        response = Response(data, content_type=_TYPES.get(name, "application/octet-stream"))
        response.add_etag()
        response.headers["Cache-Control"] = "private, no-cache" if index is None else _FOR_EVER
        return response.make_conditional(request)

    def _assignment(self, request: Request, device: str) -> Response:
        """The signed assignment, made anew where it is out of date; the router's pull is written down."""
        found = self._authentication.signed(request, device)
        now = self._clock()
        served = found.served
        if served is None or self._published.is_due(found.renew_at, found.signer, now):
            with self._store.write() as connection:
                self._published.renewed(connection, device, now)
                served = publications.newest(connection, device)
        if served.etag in request.headers.get("If-None-Match", ""):
            response = Response(status=304)
        else:
            response = Response(served.assignment, content_type="application/octet-stream")
        response.set_etag(served.etag)
        response.headers["Isdf-Keys"] = str(self._keyring.statement.keys.version)
        response.headers["Cache-Control"] = "no-store"
        self.contacts.pulled(device, served.serial, request.remote_addr, now)
        return response

    def _report(self, request: Request, device: str) -> Response:
        """What the router says that it runs."""
        self._authentication.signed(request, device)
        report = reports.parse(self._authentication.body(request))
        with self._store.write() as connection:
            reports.store(connection, device, report, request.remote_addr, self._clock())
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
    limited = limits.Limits()
    authentication = Authentication(store, limited, config.trusted_proxies)
    orders = Orders(store, published, config.provision, "serve")
    application = Application(
        store, home.storage(config), home.keyring, published, authentication, limited, access_log or AccessLog(),
        config.metrics_token,
    )  # fmt: skip
    return application, Schedule(orders.settling)
