"""The certificate authority: what it issues is believed by TLS for the host of the manager's URL, and for no other."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from isdf.errors import InvalidError
from isdf_manager import authority


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """A whole TLS handshake in memory; `SSLCertVerificationError` where the client does not believe the server."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass


def believes(trusted: authority.Authority, file, host: str, strictly: bool = True) -> bool:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if strictly:
        client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(cadata=trusted.pem)
    try:
        handshake(server, client, host)
    except ssl.SSLCertVerificationError:
        return False
    return True


@pytest.fixture
def file(tmp_path):
    return tmp_path / "server.pem"


@pytest.mark.parametrize(
    ("url", "host", "other"),
    [
        ("https://manager.example:8443", "manager.example", "other.example"),
        ("https://192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("https://[2001:db8::1]:8080", "2001:db8::1", "2001:db8::2"),
        ("https://bücher.example", "xn--bcher-kva.example", "bcher.example"),
    ],
)
def test_a_certificate_is_for_the_host_of_the_url_alone(file, url, host, other):
    ours = authority.make()
    file.write_text(authority.issue(ours, url))
    assert believes(ours, file, host)
    assert not believes(ours, file, other)
    assert not believes(authority.make(), file, host)


def test_both_are_valid_from_1970_to_9999(file):
    ours = authority.make()
    issued = x509.load_pem_x509_certificate(authority.issue(ours, "https://manager.example").encode())
    for certificate in (ours.certificate, issued):
        assert certificate.not_valid_before_utc.timestamp() == 0
        assert certificate.not_valid_after_utc.year == 9999


def test_it_can_sign_no_authority_below_itself_and_the_server_none_at_all():
    ours = authority.make()
    issued = x509.load_pem_x509_certificate(authority.issue(ours, "https://manager.example").encode())
    for certificate, expected in ((ours.certificate, (True, 0)), (issued, (False, None))):
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (found.value.ca, found.value.path_length) == expected
        assert found.critical


def test_a_certificate_fits_its_authority_and_its_url(file):
    ours, other = authority.make(), authority.make()
    text = authority.issue(ours, "https://manager.example")
    assert authority.fits(text, ours, "https://manager.example:9000")
    assert not authority.fits(text, ours, "https://other.example")
    assert not authority.fits(text, other, "https://manager.example")
    assert not authority.fits("", ours, "https://manager.example")
    wrong_key = authority.issue(ours, "https://manager.example").split("-----BEGIN CERT")[0]
    assert not authority.fits(wrong_key + ours.pem, ours, "https://manager.example")


def of_the_operator(key, digest) -> authority.Authority:
    """An authority that somebody else's tool made: with a year to live, and no more extensions than it must have."""
    name, now = (
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Our ISP")]),
        datetime.datetime.now(datetime.UTC),
    )
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=365))
    return authority.Authority(builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, digest), key)


@pytest.mark.parametrize(
    ("key", "digest"),
    [(rsa.generate_private_key(65537, 2048), hashes.SHA256()), (ed25519.Ed25519PrivateKey.generate(), None)],
    ids=["RSA", "Ed25519"],
)
def test_the_operators_own_authority_signs_as_well(tmp_path, file, key, digest):
    (tmp_path / "ca.pem").write_text(of_the_operator(key, digest).dump())
    own = authority.read(tmp_path / "ca.pem")
    file.write_text(authority.issue(own, "https://manager.example"))
    assert authority.fits(file.read_text(), own, "https://manager.example")
    assert believes(own, file, "manager.example", strictly=False)


def test_what_is_no_authority_is_said_to_be_none(tmp_path, file):
    ours = authority.make()
    file.write_text(authority.issue(ours, "https://manager.example"))
    with pytest.raises(InvalidError, match="is no authority: its certificate may not sign others"):
        authority.read(file)
    (tmp_path / "ours.pem").write_text(ours.pem)
    (tmp_path / "other.key").write_text(authority.make().dump())
    with pytest.raises(InvalidError, match=r"other.key has not the key of the certificate in .*ours.pem"):
        authority.read(tmp_path / "ours.pem", tmp_path / "other.key")
    (tmp_path / "text").write_text("-----BEGIN CERTIFICATE-----\n")
    for path in (tmp_path / "text", tmp_path / "nowhere"):
        with pytest.raises(InvalidError, match="cannot be read as PEM"):
            authority.read(path)
        with pytest.raises(InvalidError, match="cannot be read as PEM"):
            authority.read(tmp_path / "ours.pem", path)


class Server:
    """The certificate that `serve` would have."""

    def __init__(self, manager, monkeypatch) -> None:
        self.manager, self._monkeypatch = manager, monkeypatch

    def certificate(self, url: str = "https://manager.example"):
        self._monkeypatch.setenv("ISDF_MANAGER_URL", url)
        return authority.server_certificate(self.manager.home, self.manager.home.config())


@pytest.fixture
def server(manager, monkeypatch):
    return Server(manager, monkeypatch)


def test_serve_has_a_certificate_of_the_managers_own(server, manager):
    first, key = server.certificate()
    assert first == key
    assert first.stat().st_mode & 0o777 == 0o600
    assert believes(manager.home.keyring.authority(), first, "manager.example")
    before = first.read_text()
    assert server.certificate()[0].read_text() == before


def test_it_is_made_again_where_the_url_or_the_authority_has_changed_or_it_is_damaged(server, manager):
    first = server.certificate()[0].read_text()
    second = server.certificate("https://[2001:db8::1]")[0].read_text()
    assert second != first
    manager.ok("keys", "rotate", "authority")
    assert server.certificate("https://[2001:db8::1]")[0].read_text() == second
    manager.ok("keys", "rotate", "authority", "--finish")
    path = server.certificate("https://[2001:db8::1]")[0]
    assert believes(manager.home.keyring.authority(), path, "2001:db8::1")
    path.write_text("damaged")
    assert believes(manager.home.keyring.authority(), server.certificate()[0], "manager.example")


def test_without_tls_there_is_none(server, manager):
    assert server.certificate("http://manager.example") is None
    manager.configure(tls="none")
    assert server.certificate() is None


def test_the_operators_own_certificate_is_taken_as_it_is(server, manager, tmp_path):
    own = authority.read(manager.path / "keys/authority.pem")
    (tmp_path / "c.pem").write_text(authority.issue(own, "https://manager.example"))
    manager.configure(tls={"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "c.pem")})
    assert server.certificate() == (tmp_path / "c.pem", tmp_path / "c.pem")
    with pytest.raises(InvalidError, match=r"refuse .*c.pem: Hostname mismatch.*other.example"):
        server.certificate("https://other.example")
    (tmp_path / "c.pem").write_text(authority.issue(authority.make(), "https://manager.example"))
    with pytest.raises(InvalidError, match=r"'tls' in manager.yaml: routers would refuse .*c.pem: unable to get local"):
        server.certificate()
    (tmp_path / "c.pem").write_text("no certificate")
    with pytest.raises(InvalidError, match=r"'tls' in manager.yaml: .*c.pem"):
        server.certificate()


def test_no_certificate_goes_with_a_url_without_tls(server, manager):
    manager.configure(tls="none")
    with pytest.raises(InvalidError, match="tls goes with an https address alone"):
        server.certificate("http://manager.example")
    assert server.certificate("HTTPS://manager.example") is None


def test_an_authority_without_its_key_needs_a_certificate_of_the_operators(server, manager, tmp_path):
    (tmp_path / "ca.pem").write_text(authority.make().pem)
    manager.path = tmp_path / "own"
    manager.ok("init", "--url", "https://manager.example", "--authority", tmp_path / "ca.pem")
    assert manager.home.keyring.read().keys.authority == (tmp_path / "ca.pem").read_text()
    with pytest.raises(InvalidError, match="name yours"):
        server.certificate()
    assert "name yours" in manager.fails("serve", status=2)
