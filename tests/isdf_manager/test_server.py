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

pytestmark = pytest.mark.system
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
    """Connections of `served`'s clients, each over TLS unless `bare`."""

    def __init__(self, served, number: int, bare: bool = False) -> None:
        context = ssl.create_default_context(cafile=served.authority)
        self.connections = []
        for _ in range(number):
            connection = socket.create_connection(("::1", served.port), timeout=10)
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


def test_a_port_is_had_once(served):
    with pytest.raises(AssertionError, match="cannot be had: Address already in use"):
        served("serve", "--listen", f"[::1]:{served.port}")


def test_a_new_authority_needs_no_restart(served, router):
    served("keys", "rotate", "authority")
    served("keys", "rotate", "authority", "--finish")
    wait_for(served.answers)  # it is asked with the new authority alone
    assert requests.get(f"{served.url}/health", timeout=5, verify=str(served.authority)).ok
