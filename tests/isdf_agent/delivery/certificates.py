"""Certificate authorities and what they certify, made as an operator's would be."""

import datetime
import functools
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LONG_AGO, LONG_AFTER = datetime.datetime(1970, 1, 2), datetime.datetime(9999, 12, 30)


class Authority:
    """`pem` is its certificate; one `signed_by` another stands below it."""

    def __init__(self, name="authority", signed_by=None):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), _name(name)
        above = signed_by or self
        self.certificate = (
            _builder(self.name, above.name, self.key, LONG_AGO, LONG_AFTER)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(above.key, hashes.SHA256())
        )
        self.pem = _pem(self.certificate)

    def certify(self, folder, host="127.0.0.1", *, begins=LONG_AGO, ends=LONG_AFTER):
        """The TLS context of a server that has a certificate for `host`; its files are in `folder`."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            subject = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            subject = x509.DNSName(host)
        certificate = (
            _builder(_name(host), self.name, key, begins, ends)
            .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = folder / f"{self.name.rfc4514_string()}-{host.replace(':', '-')}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_text(_pem(certificate) + private.decode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@functools.cache
def authority(name="authority"):
    """One authority of each name for all tests: making keys takes its time."""
    return Authority(name)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, key, begins, ends):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
