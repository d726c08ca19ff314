"""From a request to an answer, in two steps, so that what is asked most waits for nobody.

`begin` does what needs neither a slow client nor a busy disk: it knows the route, the limits and who signed, and it
answers a poll that has nothing new, and all that is refused. What is left is `Work` for a thread, after the body is
there. Errors become problem documents; who is refused is counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from isdf.errors import IsdfError, RefusedError

from . import limits, problems
from .accesslog import AccessLog
from .authentication import ClockError
from .metrics import Metrics

log = logging.getLogger(__name__)


class Work(NamedTuple):
    """What an answer needs yet: the body of the request, of at most `most` bytes, and a thread that may wait.

    `run` takes the body; that which `begin` gives takes the error as well that came in place of one. `known`: who asks
    has shown what only a device knows.
    """

    most: int
    run: Callable[[bytes | RefusedError], Response]
    known: bool = False


@dataclass(slots=True)
class _Exchange:
    request: Request
    begun: float = field(default_factory=time.perf_counter)
    endpoint: str = "none"


class Dispatch:
    """PEP 3333, and `begin` for a server that can do better. Threads share it.

    `endpoints` take the request and the values of their route; they answer, or give `Work`. `address` gives the
    caller's.
    """

    def __init__(
        self, routes: Map, endpoints: Mapping[str, Callable[..., Response | Work]], address: Callable[[dict], str],
        limited: limits.Limits, metrics: Metrics, access_log: AccessLog,
    ) -> None:  # fmt: skip
        self._routes, self._endpoints, self._address = routes, endpoints, address
        self._limits, self._metrics, self._access_log = limited, metrics, access_log

    def begin(self, environ: dict) -> Response | Work:
        """The answer to the request of PEP 3333's `environ`, or what it needs yet; `wsgi.input` is not read."""
        environ["REMOTE_ADDR"] = self._address(environ)  # the router's, where a proxy is in front
        exchange = _Exchange(Request(environ))
        return self._answer(exchange, lambda: self._route(exchange))

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        answer = self.begin(environ)
        if isinstance(answer, Work):
            data = environ["wsgi.input"].read(min(Request(environ).content_length or 0, answer.most + 1))
            answer = answer.run(problems.TooLargeError.of(answer.most) if len(data) > answer.most else data)
        return answer(environ, start_response)

    def _route(self, exchange: _Exchange) -> Response | Work:
        exchange.endpoint, values = self._routes.bind_to_environ(exchange.request.environ).match()
        return self._endpoints[exchange.endpoint](exchange.request, **values)

    def _answer(self, exchange: _Exchange, step: Callable[[], Response | Work]) -> Response | Work:
        """What `step` gives, or the problem that it met; an answer is counted and logged."""
        logged = True
        try:
            answer = step()
        except (ClockError, problems.BusyError) as error:
            answer = problems.of_error(error)
        except (HTTPException, RefusedError) as error:
            answer = problems.of_http(error) if isinstance(error, HTTPException) else problems.of_error(error)
            logged = not self._limits.refused_again(exchange.request.remote_addr)
        except IsdfError as error:
            log.error("a request failed: %s", error)  # names the database, which is nobody's business outside
            answer = _failed()
        except Exception:
            log.exception("a request failed")  # without its path, which may hold a secret
            answer = _failed()
        if isinstance(answer, Work):
            run = answer.run
            return answer._replace(run=lambda body: self._answer(exchange, lambda: run(_given(body))))
        self._metrics.answered(exchange.endpoint, answer.status_code)
        self._access_log.write(exchange.request, answer, time.perf_counter() - exchange.begun, logged)
        return answer


def _given(body: bytes | RefusedError) -> bytes:
    if isinstance(body, RefusedError):
        raise body
    return body


def _failed() -> Response:
    return problems.problem(500, "failed", "The manager failed", "an error of the manager; its log tells more")
