"""A connection believes the authority that it is given, and no other, whatever the date and the environment say."""

import contextlib
import datetime
import http.server
import json
import ssl
import threading
import time
import tracemalloc

import pytest
from certificates import Authority, authority

from isdf.errors import InvalidError, UnavailableError
from isdf_agent.delivery.connection import Connection, UntrustedError
from isdf_agent.delivery.request import TooManyError, accepted, deadline


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.connections.add(self.client_address)
        self.server.answer(self)

    def say(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls, self.connections, self.answer = tls, set(), lambda handler: handler.say(handler.path.encode())
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self):
        connection, address = super().get_request()
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        pass

    def url(self, host="127.0.0.1", scheme=None):
        return f"{scheme or ('https' if self.tls else 'http')}://{host}:{self.server_address[1]}"


@pytest.fixture
def serve():
    started = []

    def start(tls=None):
        started.append(Server(tls))
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def get(url, pem, path="/x", **options):
    with Connection(url, pem, **options) as connection:
        return connection.ask("GET", path)


def test_what_the_authority_certified_is_believed(serve, tmp_path):
    server = serve(authority().certify(tmp_path))
    answer = get(server.url(), authority().pem)
    assert (answer.status, answer.body) == (200, b"/x")


def test_what_another_authority_of_the_same_name_certified_is_not(serve, tmp_path):
    server = serve(Authority("authority").certify(tmp_path))
    with pytest.raises(UntrustedError, match="is not of the authority that this router knows"):
        get(server.url(), authority().pem)
    assert not server.connections


def test_one_of_two_authorities_is_enough(serve, tmp_path):
    server = serve(authority("new").certify(tmp_path))
    assert get(server.url(), authority("old").pem + authority("new").pem).status == 200


def test_an_authority_below_another_one_may_be_the_one_that_is_known(serve, tmp_path):
    between = Authority("between", signed_by=authority())
    assert get(serve(between.certify(tmp_path)).url(), between.pem).status == 200


def test_the_authorities_of_the_system_and_of_the_environment_are_not_believed(serve, tmp_path, monkeypatch):
    (tmp_path / "ca.pem").write_text(authority("other").pem)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    server = serve(authority("other").certify(tmp_path))
    with pytest.raises(UntrustedError):
        get(server.url(), authority().pem)


def test_proxies_and_passwords_of_the_environment_are_not_used(serve, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server = serve(authority().certify(tmp_path))
    server.answer = lambda handler: handler.say(json.dumps(dict(handler.headers)).encode())
    assert "Authorization" not in json.loads(get(server.url(), authority().pem).body)


@pytest.mark.parametrize("years", [(1971, 1972), (2090, 2091)])
def test_a_router_without_a_clock_looks_at_no_date(serve, tmp_path, years):
    begins, ends = (datetime.datetime(year, 1, 1) for year in years)
    server = serve(authority().certify(tmp_path, begins=begins, ends=ends))
    assert get(server.url(), authority().pem).status == 200


@pytest.mark.parametrize("host", ["manager.example", "127.0.0.2", "2001:db8::1"])
def test_a_certificate_for_another_host_is_not_believed(serve, tmp_path, host):
    server = serve(authority().certify(tmp_path, host))
    with pytest.raises(UntrustedError, match=r"not valid for '127\.0\.0\.1'"):
        get(server.url(), authority().pem)


def test_a_name_is_looked_for_in_the_certificate(serve, tmp_path):
    assert get(serve(authority().certify(tmp_path, "localhost")).url("localhost"), authority().pem).status == 200


def test_old_versions_of_tls_are_not_spoken(serve, tmp_path):
    tls = authority().certify(tmp_path)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(UnavailableError, match="does not answer"):
        get(serve(tls).url(), authority().pem)


def test_whoever_answers_may_be_asked_for_what_proves_itself(serve, tmp_path):
    assert get(serve(Authority().certify(tmp_path)).url(), None).status == 200


@pytest.mark.parametrize("pem", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_keys_without_an_authority_certify_nobody(pem):
    with pytest.raises(UntrustedError, match="name no authority"):
        Connection("https://127.0.0.1:1", pem)


def test_http_is_refused_unless_it_is_allowed(serve):
    url = serve().url()
    with pytest.raises(InvalidError, match="needs option insecure"):
        Connection(url, "")
    assert get(url, "", insecure=True).status == 200


def test_one_connection_serves_many_requests_and_one_that_was_closed_is_made_anew(serve, tmp_path):
    server = serve(authority().certify(tmp_path))
    with Connection(server.url(), authority().pem) as connection:
        for _ in range(3):
            connection.ask("GET", "/x")
        assert len(server.connections) == 1

        def once(handler):
            handler.say(b"bye")
            handler.close_connection = True  # without a word of it

        server.answer = once
        connection.ask("GET", "/x")
        server.answer = lambda handler: handler.say(b"again")
        assert connection.ask("GET", "/x").body == b"again"
    assert len(server.connections) == 2


def test_below_the_prefix_of_the_address_is_asked(serve):
    assert get(serve().url() + "/isdf/", "", insecure=True).body == b"/isdf/x"


def test_an_answer_in_pieces_is_put_together_and_nothing_is_unpacked(serve):
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    server = serve()
    server.answer = chunked
    assert get(server.url(), "", insecure=True).body == b"abcde"


def junk(handler):
    handler.wfile.write(b"no HTTP at all\r\n\r\n")
    handler.close_connection = True


def silent(handler):
    handler.close_connection = True


def half(handler):
    handler.say(b"half", Content_Length=8)
    handler.close_connection = True


def half_a_piece(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\nabc")
    handler.close_connection = True


def headers_without_end(handler):
    handler.send_response(200)
    for number in range(1000):
        handler.send_header(f"X-{number}", "x")
    handler.end_headers()


FAULTS = {
    junk: "does not speak HTTP",
    silent: "closed the connection",
    half: "ended after 4 of 8 bytes",
    half_a_piece: "IncompleteRead",
    headers_without_end: "more than 100 headers",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_other_side_is_one_sentence(serve, fault):
    server = serve()
    server.answer = fault
    with pytest.raises(UnavailableError, match=FAULTS[fault]):
        get(server.url(), "", insecure=True)


def test_no_more_is_read_than_the_limit(serve):
    server = serve()
    server.answer = lambda handler: handler.say(bytes(100))
    with Connection(server.url(), "", insecure=True) as connection:
        assert len(connection.ask("GET", "/x", limit=100).body) == 100
        with pytest.raises(UnavailableError, match="longer than 99 bytes"):
            connection.ask("GET", "/x", limit=99)


def chunked(size):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(size + b"\r\n")
        pour(handler, bytes(1 << 16))

    return answer


def pour(handler, data):
    """Without end, until nobody reads it any more; `poured` is how much that was."""
    handler.close_connection = True
    handler.server.poured = 0
    with contextlib.suppress(OSError):
        while handler.server.poured < 64 << 20:
            handler.wfile.write(data)
            handler.server.poured += len(data)


def continued(handler):
    pour(handler, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def trailers(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"0\r\n")
    pour(handler, b"X: y\r\n" * 1000)


ENDLESS = {
    "a chunk of -1": chunked(b"-1"), "a chunk of 2 GB": chunked(b"7fffffff"), "1xx": continued, "trailers": trailers
}  # fmt: skip


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_no_more_is_read_than_the_limit_however_it_is_framed(serve, answer):
    server = serve()
    server.answer = answer
    tracemalloc.start()
    with pytest.raises(UnavailableError, match="longer than 100 bytes"):
        Connection(server.url(), "", insecure=True).ask("GET", "/x", limit=100)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 << 20
    assert server.poured < 32 << 20


def test_the_common_name_of_a_certificate_names_no_host():
    connection = Connection("https://127.0.0.1:1", authority().pem)
    assert not connection._http._context.hostname_checks_common_name


def test_tls_to_a_server_that_does_not_speak_it_is_a_sentence(serve):
    with pytest.raises(UnavailableError, match="does not answer"):
        get(serve().url(scheme="https"), authority().pem)


def test_whoever_asks_to_be_left_alone_is_not_left_alone_for_ever(serve):
    server = serve()
    for said, seconds in (("77", 77.0), ("99999999", 3600.0), ("never", 0.0), ("²", 0.0)):
        server.answer = lambda handler, said=said: handler.say(b"", 429, Retry_After=said)
        with pytest.raises(TooManyError) as caught:
            accepted(get(server.url(), "", insecure=True), "the request")
        assert caught.value.retry_after == seconds


def test_a_redirect_is_refused(serve):
    server = serve()
    server.answer = lambda handler: handler.say(b"", 302, Location="http://192.0.2.1/")
    with pytest.raises(UnavailableError, match="elsewhere"):
        accepted(get(server.url(), "", insecure=True), "the request")


def test_a_deadline_holds_although_somebody_takes_its_error_for_another_one():
    def stubborn():
        try:
            time.sleep(5)
        except UnavailableError:
            time.sleep(5)

    begun = time.monotonic()
    with pytest.raises(UnavailableError, match=r"it took longer than 0\.05 s"), deadline(0.05, "it"):
        stubborn()
    assert time.monotonic() - begun < 2
