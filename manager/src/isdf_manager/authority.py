"""The certificate authority: by it routers know over TLS that they speak with their manager.

It signs one certificate, that of `serve`, for the host of `url`. Routers have no clock, so both are valid from 1970 to
9999; what ends the trust in an authority is a keys statement of a higher version (docs/adr/016). Reference: RFC 5280.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isdf.errors import InvalidError

from . import signing

if TYPE_CHECKING:
    from .home import Config, Home

_BEGIN = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_DIGEST = hashes.SHA256()
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, to which Python's `ssl` gives no name


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority's certificate and, where this machine may sign by it, its secret key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes | None = None

    @property
    def pem(self) -> str:
        """The certificate alone, as it stands in the keys statement."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def dump(self) -> str:
        """The file of both; keep it readable by its owner alone."""
        return self.pem + (_pem(self.key) if self.key else "")


def make() -> Authority:
    """A new authority; its name has the beginning of its key's hash, so that no two have the same."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"iSDF authority {identifier.digest.hex()[:16]}")
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = _certificate(name, name, key.public_key(), identifier)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(builder.add_extension(usage, critical=True).sign(key, _DIGEST), key)


def read(path: Path, key: Path | None = None) -> Authority:
    """The authority in the file `path` (PEM), with its key in there as well, or in `key`; else `InvalidError`."""
    try:
        data = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        if key is not None or b"PRIVATE KEY-----" in data:
            secret = serialization.load_pem_private_key(data if key is None else key.read_bytes(), None)
        else:
            secret = None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidError(f"{key or path} cannot be read as PEM without a password: {error}") from None
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        constraints = None
    if constraints is None or not constraints.ca:
        raise InvalidError(f"{path} is no authority: its certificate may not sign others (basicConstraints: CA)")
    if secret is not None and secret.public_key() != certificate.public_key():
        raise InvalidError(f"{key or path} has not the key of the certificate in {path}")
    return Authority(certificate, secret)


def issue(authority: Authority, url: str) -> str:
    """A key and a certificate for the host of `url`, name or address, in one text of PEM (key first)."""
    host = _host(url)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _certificate(
        _name(str(host.value)[:64]), authority.certificate.subject, key.public_key(),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    )  # fmt: skip
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.certificate.public_key())
    try:
        mark = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mark)
    except x509.ExtensionNotFound:
        pass
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([host]), False),
        (above, False),
    ):
        builder = builder.add_extension(extension, critical)
    edwards = authority.key.__class__.__name__.startswith(("Ed25519", "Ed448"))  # they hash by themselves
    signed = builder.sign(authority.key, None if edwards else _DIGEST)
    return _pem(key) + signed.public_bytes(serialization.Encoding.PEM).decode()


def fits(text: str, authority: Authority, url: str) -> bool:
    """Whether `text` (PEM) is a key and a certificate for the host of `url` that `authority` issued."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        key = serialization.load_pem_private_key(text.encode(), None)
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return _host(url) in names and key.public_key() == certificate.public_key()


def describe(pem: str) -> list[str]:
    """A line for each certificate in `pem`: its subject and SHA-256, as `openssl x509 -fingerprint` writes it."""
    lines = []
    for found in x509.load_pem_x509_certificates(pem.encode()):
        digest = found.fingerprint(_DIGEST).hex(":").upper()
        lines.append(f"{found.subject.rfc4514_string()}, SHA-256 {digest}")
    return lines


def files(home: Home, config: Config) -> tuple[Path, Path]:
    """The files of the certificate and the key with which `serve` speaks TLS, where it does (`Config.is_tls`)."""
    own = home.keyring.path("server.pem")
    return config.tls if isinstance(config.tls, tuple) else (own, own)


def wrong(home: Home, config: Config) -> str | None:
    """Why a router would refuse what is in `files` for the host of `url`; None: it takes it.

    It is tried: a TLS handshake in memory with the authorities that the keys statement names, and no look at dates.
    """
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*files(home, config))
    except (OSError, ssl.SSLError) as error:
        return str(error)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= _NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=home.keyring.read().keys.authority)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    host = _host(config.url).value
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=str(host)),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return f"{error.verify_message} (authority and host: 'isdf-manager keys show', {host})"
        except ssl.SSLError as error:
            return str(error)
    return None


def server_certificate(home: Home, config: Config) -> tuple[Path, Path] | None:
    """The files of the certificate and the key with which `serve` speaks TLS; None: it does not.

    The manager's own is made where it is missing, or is of another host than that of `url`, or of an authority that is
    in force no more. `InvalidError` where that cannot be, or routers would refuse the operator's own.
    """
    if not config.is_tls:
        return None
    if config.tls is not None:
        if reason := wrong(home, config):
            names = " and ".join(dict.fromkeys(map(str, config.tls)))
            raise InvalidError(f"'tls' in manager.yaml: routers would refuse {names}: {reason}")
        return config.tls
    path, found = home.keyring.path("server.pem"), home.keyring.authority()
    if not path.exists() or not fits(path.read_text(), found, config.url):
        if found.key is None:
            raise InvalidError(
                "this manager has not the key of its authority and cannot make its certificate; name yours in "
                "manager.yaml (tls: {certificate: FILE, key: FILE}), or 'tls: none' where a proxy has it"
            )
        signing.replace(path, issue(found, config.url), 0o600)
    return path, path


def _certificate(subject: x509.Name, issuer: x509.Name, key, identifier: x509.SubjectKeyIdentifier):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(identifier, critical=False)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _host(url: str) -> x509.GeneralName:
    host = urlsplit(url).hostname
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
