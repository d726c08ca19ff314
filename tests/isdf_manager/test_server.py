"""`serve` and its clients: slow ones, many, huge ones; a normal signed request is answered within a second."""

import resource
import signal
import socket
import ssl
import threading
import time

import pytest
import requests

from isdf import wire
from served import Served, wait_for
from simulated_router import Router

pytestmark = [pytest.mark.system, pytest.mark.alone]
MANY, IDLE = 200, 2000
WITHIN = 1.0  # second for a normal request
REPORT = "/device/home1/report"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    made = Served(tmp_path_factory.mktemp("served"), "https")
    made("init", "--url", made.url)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def street(served, request):
    """Routers that have pulled, before a hostile one behind their address had anything refused."""

    def enrolled(number: int) -> Router:
        made = Router(served("device", "add", f"home{number}"), served.http)
        made.pull()
        return made

    tests = [item for item in request.session.items if item.module is request.module]
    return iter([enrolled(number) for number in range(len(tests) + 1)])


@pytest.fixture
def router(street):
    """One that behaves, and has not used up what it may ask."""
    return next(street)


@pytest.fixture
def hostile(street):
    """A device that does not."""
    return next(street)


class Crowd:
    """Connections of `served`'s clients, each over TLS unless `bare`; with `streets` from so many addresses."""

    def __init__(self, served, number: int, bare: bool = False, streets: int = 0) -> None:
        context = ssl.create_default_context(cafile=served.authority)
        self.connections = []
        for turn in range(number):
            if streets:
                address, source = "127.0.0.1", (f"127.0.0.{2 + turn % streets}", 0)
            else:
                address, source = "::1", None
            connection = socket.create_connection((address, served.port), timeout=10, source_address=source)
            self.connections.append(connection if bare else context.wrap_socket(connection, server_hostname="::1"))
        self._end = threading.Event()
        self._thread = None

    def send(self, data: bytes) -> None:
        for connection in self.connections:
            try:
                connection.sendall(data)
            except OSError:
                pass  # the server had enough of it

    def drip(self, data: bytes) -> None:
        """A byte of `data` a second, on each connection, for as long as it lasts."""

        def run() -> None:
            for number in range(len(data)):
                self.send(data[number : number + 1])
                if self._end.wait(1.0):
                    return

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()
        for connection in self.connections:
            connection.close()


def longest(router, times: int = 15) -> float:
    """Seconds that the slowest of `times` pulls takes, spread over some seconds, each on a connection of its own."""
    took = []
    for _ in range(times):
        begun = time.monotonic()
        router.pull()
        took.append(time.monotonic() - begun)
        time.sleep(0.15)  # the attack goes on meanwhile
    return max(took)


def test_heads_that_come_byte_by_byte(served, router):
    with Crowd(served, MANY) as crowd:
        crowd.drip(b"GET /health HTTP/1.1\r\nHost: manager\r\n\r\n")
        assert longest(router) < WITHIN


def test_handshakes_that_never_end(served, router):
    with Crowd(served, MANY, bare=True) as crowd:
        crowd.drip(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40))
        assert longest(router) < WITHIN


def test_bodies_that_nobody_signed(served, router):
    with Crowd(served, MANY) as crowd:
        crowd.send(f"POST {REPORT} HTTP/1.1\r\nHost: m\r\nContent-Length: 60000\r\n\r\n".encode())
        crowd.drip(b'{"serial": 1, "applied": true}')
        assert longest(router) < WITHIN


def test_bodies_of_enrolments_that_never_come(served, router):
    """Nine addresses are enough for more of them than answers may wait for a thread."""
    with Crowd(served, 9 * 60, streets=9) as crowd:
        crowd.send(b"POST /enroll HTTP/1.1\r\nHost: m\r\nContent-Length: 100\r\n\r\n{")
        for _ in range(5):
            begun = time.monotonic()
            assert router.report().status_code == 204
            assert router.get(f"{router.feed}/Packages").status_code == 200
            assert time.monotonic() - begun < 2 * WITHIN
        assert longest(router, 3) < WITHIN
        answers = {connection.recv(4096).split(b" ")[1] for connection in crowd.connections}
        assert answers == {b"408"}


def test_bodies_of_a_device_that_come_byte_by_byte(served, router, hostile):
    """They keep no thread, and are not waited for long."""
    body = b'{"serial": 1, "applied": true}'
    path = f"/device/{hostile.name}/report"
    with Crowd(served, MANY) as crowd:
        for number, connection in enumerate(crowd.connections):
            values = wire.content_digest(body), int(time.time()), f"nonce-{number:03}"
            seal = wire.sign_request(wire.derive(hostile.key, "request"), "POST", path, *values)
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\nContent-Digest: {values[0]}\r\n"
                f"Isdf-Time: {values[1]}\r\nIsdf-Nonce: {values[2]}\r\nIsdf-Signature: {seal}\r\n\r\n".encode()
            )
        crowd.drip(body)
        assert longest(router) < WITHIN
        answers = {connection.recv(4096).split(b" ")[1] for connection in crowd.connections}
        assert answers <= {b"408", b"429", b"503"}
        assert b"408" in answers
    assert router.report().status_code == 204


def test_connections_that_say_nothing(served, router):
    with Crowd(served, IDLE):
        assert longest(router) < WITHIN


def test_a_body_without_end_is_not_taken(served, router):
    context = ssl.create_default_context(cafile=served.authority)
    with (
        socket.create_connection(("::1", served.port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="::1") as secure,
    ):
        secure.sendall(f"POST {REPORT} HTTP/1.1\r\nHost: m\r\nContent-Length: {100 << 20}\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 100 << 20:
                sent += secure.send(bytes(65536))
        except OSError:
            pass  # closed, as it should be
        assert sent < 50 << 20
    assert longest(router, 3) < WITHIN
    assert served.memory() < 150 << 20


def test_an_answer_that_nobody_reads_does_not_keep_it_from_ending(served, router):
    with Crowd(served, 5) as crowd:
        crowd.send(b"GET /health HTTP/1.1\r\nHost: m\r\n\r\n" * 2000)
        begun = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
        assert time.monotonic() - begun < 10
    served.start()
    assert longest(router, 3) < WITHIN


def test_a_port_is_had_once(served, tmp_path):
    other = Served(tmp_path)
    other("init", "--url", other.url)
    with pytest.raises(AssertionError, match="cannot be had: Address already in use"):
        other("serve", "--listen", f"[::1]:{served.port}")


def test_it_warns_where_the_catalogue_key_is_within_reach(served, tmp_path):
    key, elsewhere = served.home / "keys/catalogue.sec", tmp_path / "catalogue.sec"
    warning = f"WARNING isdf_manager.server: {key} brings code to every router"
    served.stop()
    warned = served.log.read_text().count(warning)
    assert warned
    key.rename(elsewhere)
    served.start()
    assert served.log.read_text().count(warning) == warned
    elsewhere.rename(key)


def test_who_comes_before_it_answers_waits_and_does_not_keep_it_from_ending(served):
    served.stop()
    served.begin()
    wait_for(lambda: reaches(served))
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(5) in (0, -signal.SIGTERM)  # the latter as long as it has nothing to end with care
    served.begin()
    wait_for(lambda: reaches(served))
    assert served.answers()


def reaches(served) -> bool:
    try:
        socket.create_connection(("::1", served.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


class Visitor:
    """A client that is at some point of its first request, and comes to the end of it later."""

    REQUEST = b"GET /health HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"

    def __init__(self, served, context, steps: int) -> None:
        self._context, self._secured, self._sent = context, False, 0
        self._socket = socket.create_connection(("::1", served.port), timeout=10)
        if steps > 0:
            self._secure()
        if steps > 1:
            self._send(20)

    def finish(self) -> tuple[bytes, str]:
        """The status of the answer to the rest of the request, and whose certificate the server has."""
        if not self._secured:
            self._secure()
        with self._socket as connection:
            self._send(len(self.REQUEST))
            return connection.recv(4096).split(b" ")[1], connection.getpeercert()["issuer"][0][0][1]

    def _secure(self) -> None:
        with self._socket as connection:
            self._socket = self._context.wrap_socket(connection, server_hostname="::1")
        self._secured = True

    def _send(self, end: int) -> None:
        self._socket.sendall(self.REQUEST[self._sent : end])
        self._sent = end


class Visitors:
    """Threads of clients that ask on connections of their own, one after the other, until the end."""

    def __init__(self, served, context, number: int = 3) -> None:
        self.seen: set[tuple[bytes, str]] = set()
        self.failures: list[Exception] = []
        self._served, self._context, self._end = served, context, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.seen.add(Visitor(self._served, self._context, 2).finish())
            except OSError as error:
                self.failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_a_new_authority_needs_no_restart_and_costs_no_connection(served, router):
    before = served.authority.read_text()
    served("keys", "rotate", "authority")
    context = ssl.create_default_context(cadata=before)
    context.load_verify_locations(served.home / "keys/authority.pem.next")
    with Visitors(served, context) as visitors:
        slow = [Visitor(served, context, steps) for steps in (0, 1, 2) for _ in range(5)]
        wait_for(lambda: len(visitors.seen) == 1)
        served("keys", "rotate", "authority", "--finish")
        wait_for(lambda: len(visitors.seen) == 2)
        assert {visitor.finish()[0] for visitor in slow} == {b"200"}
        time.sleep(0.5)  # what connects meanwhile meets the new one alone
    assert visitors.failures == []
    assert {status for status, _ in visitors.seen} == {b"200"}
    with pytest.raises(ssl.SSLCertVerificationError):
        Visitor(served, ssl.create_default_context(cadata=before), 1)
    assert requests.get(f"{served.url}/health", timeout=5, verify=str(served.authority)).ok
