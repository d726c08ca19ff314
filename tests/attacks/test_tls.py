"""TLS between an enrolled router and its manager, and somebody in between."""

import contextlib

import pytest
from certificates import Authority

from attacks.home import Home
from attacks.relay import Relay
from isdf_manager import authority

pytestmark = pytest.mark.system
attack = pytest.mark.attack
STRANGER = r"pull \(asked\): the certificate of .* is not of the authority that this router knows"


@pytest.fixture(scope="module")
def home(secure_isp, tmp_path_factory):
    uci = secure_isp.add("tls")
    secure_isp.sell("tls")
    with Home(tmp_path_factory.mktemp("home"), uci, secure_isp.relay) as made:
        made.start()
        yield made


@pytest.fixture
def refuses(secure_isp, home):
    """`refuses(context, words)`: the home asks nothing of who answers with that TLS, and asks its manager after it."""

    def try_it(context, words):
        version = secure_isp.publish()
        with between(secure_isp, context) as relay:
            home.refuses(words)
            assert {request.path for request in relay.seen} <= {"/keys"}
        home.takes(tv=version)

    return try_it


@contextlib.contextmanager
def between(isp, context):
    """Somebody who hands on what he hears, with that TLS; None: without."""
    relay = Relay(("127.0.0.1", isp.port), context)
    isp.relay.target = relay.port
    try:
        yield relay
    finally:
        isp.relay.target = isp.port
        relay.close()


def issued(isp, folder, url):
    """What a server of the ISP has for `url`, by the authority in force."""
    path = folder / "server.pem"
    path.write_text(authority.issue(authority.read(isp.home / "keys/authority.pem"), url))
    context = authority.ssl.SSLContext(authority.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@attack("tls-by-another-authority")
def test_somebody_between_a_router_and_its_manager(refuses, tmp_path):
    refuses(Authority("mallory").certify(tmp_path), STRANGER)


@attack("tls-of-another-host")
def test_another_server_of_the_same_isp(secure_isp, home, refuses, tmp_path):
    refuses(issued(secure_isp, tmp_path, "https://127.0.0.2"), STRANGER)
    # With a certificate for this host he hears what they say, and is believed in nothing that is signed.
    version = secure_isp.publish()
    with between(secure_isp, issued(secure_isp, tmp_path, "https://127.0.0.1")) as relay:
        home.takes(tv=version)
        assert relay.asked("^/device/tls/assignment$")


@attack("tls-by-an-authority-that-was-replaced")
def test_a_certificate_of_an_authority_that_was_stolen_and_replaced(secure_isp, home, refuses, tmp_path):
    stolen = issued(secure_isp, tmp_path, "https://127.0.0.1")
    secure_isp.desk("keys", "rotate", "authority")
    home.takes(tv=secure_isp.publish())
    secure_isp.replace_authority()
    home.takes(tv=secure_isp.publish())
    refuses(stolen, STRANGER)


@attack("tls-stripped")
def test_somebody_who_answers_without_tls(refuses):
    refuses(None, r"pull \(asked\): the manager .* does not answer")
