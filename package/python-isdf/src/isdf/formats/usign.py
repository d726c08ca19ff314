"""Keys and signatures of usign and signify: two lines, a comment and base64. No cryptography here.

The primitives are passed in: the manager has the library `cryptography`, the router its own `usign` program.

References: usign `main.c`; OpenBSD signify(1). After base64:
public key   "Ed" | fingerprint (8) | Ed25519 public key (32)
secret key   "Ed" "BK" | rounds (4; 0: no password) | salt (16) | checksum (8) | fingerprint (8) | seed (32) | public
             key (32); the checksum is the beginning of the SHA-512 of the last two
signature    "Ed" | fingerprint (8) | Ed25519 signature (64)
The fingerprint is eight random bytes that tell keys apart; it proves nothing. Nor are the bytes of a signature an
identity: others of the same message verify as well.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from ..errors import FormatError, InvalidError, SignatureError
from ..value import dataclass

_HEADER = "untrusted comment: "
_MAX_COMMENT, _MAX_TEXT = 500, 1000  # bytes; signify reads 1024
_ALGORITHM, _KDF = b"Ed", b"BK"

Sign = Callable[[bytes, bytes], bytes]
"""`(seed, message) -> signature` (32, any, 64 bytes)."""
Verify = Callable[[bytes, bytes, bytes], bool]
"""`(public key, signature, message) -> whether it verifies` (32, 64, any bytes)."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key (`key`, 32 bytes) with its `fingerprint` (8 bytes)."""

    fingerprint: bytes
    key: bytes
    comment: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> PublicKey:
        """A key of its file, or of its base64 line alone; else `FormatError`."""
        comment, data = _read(text, "public key", 42)
        return cls(data[2:10], data[10:], comment)

    @property
    def line(self) -> str:
        """The base64 line, as it stands in UCI and JSON."""
        return base64.b64encode(_ALGORITHM + self.fingerprint + self.key).decode()

    def dump(self) -> str:
        """The key's file."""
        return _write(self.comment or f"public key {self.fingerprint.hex()}", self.line)


@dataclass(frozen=True, slots=True, repr=False)
class SecretKey:
    """An Ed25519 secret key without a password: `seed` (32 bytes) and the public key that belongs to it."""

    fingerprint: bytes
    seed: bytes
    public: bytes
    salt: bytes = bytes(16)
    comment: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> SecretKey:
        """A key of its file; `FormatError` also where it is protected by a password."""
        comment, data = _read(text, "secret key", 104)
        if data[2:4] != _KDF:
            raise FormatError("the secret key is protected in a way that is not known")
        if data[4:8] != bytes(4):
            raise FormatError("the secret key is protected by a password; make one without (usign -G, signify -n)")
        if _checksum(data[40:]) != data[24:32]:
            raise FormatError("the secret key is damaged: its checksum does not fit")
        return cls(data[32:40], data[40:72], data[72:], data[8:24], comment)

    def dump(self) -> str:
        """The key's file; keep it readable by its owner alone."""
        pair = self.seed + self.public
        data = _ALGORITHM + _KDF + bytes(4) + self.salt + _checksum(pair) + self.fingerprint + pair
        return _write(self.comment or f"private key {self.fingerprint.hex()}", base64.b64encode(data).decode())

    def public_key(self, comment: str = "") -> PublicKey:
        return PublicKey(self.fingerprint, self.public, comment)

    def __repr__(self) -> str:
        return f"SecretKey({self.fingerprint.hex()})"


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature (64 bytes) and the fingerprint of the key that made it."""

    fingerprint: bytes
    signature: bytes
    comment: str = ""

    @classmethod
    def parse(cls, text: str | bytes) -> Signature:
        """A signature of its file, or of its base64 line alone; else `FormatError`."""
        comment, data = _read(text, "signature", 74)
        return cls(data[2:10], data[10:], comment)

    @property
    def line(self) -> str:
        """The base64 line, as it stands in an assignment."""
        return base64.b64encode(_ALGORITHM + self.fingerprint + self.signature).decode()

    def dump(self) -> str:
        """The signature's file."""
        return _write(self.comment or f"signed by key {self.fingerprint.hex()}", self.line)


def sign(message: bytes, secret: SecretKey, ed25519_sign: Sign, comment: str = "") -> Signature:
    """The signature of `message`, which should have come through `pad`."""
    return Signature(secret.fingerprint, ed25519_sign(secret.seed, message), comment)


def verify(message: bytes, signature: Signature, key: PublicKey, ed25519_verify: Verify) -> None:
    """`SignatureError` unless `signature` is of `message` by `key`."""
    if signature.fingerprint != key.fingerprint:
        raise SignatureError(f"signed by key {signature.fingerprint.hex()}, expected was {key.fingerprint.hex()}")
    if not ed25519_verify(key.key, signature.signature, message):
        raise SignatureError(f"the signature by key {key.fingerprint.hex()} does not verify")


def pad(message: bytes) -> bytes:
    """`message`, with two newlines more where usign releases before 2020 hash it wrongly.

    Their SHA-512 goes wrong when the last block has 110 or 111 bytes; an Ed25519 signature hashes 64 bytes before the
    message. OpenWrt pads its package indexes in the same way.
    """
    return message + b"\n\n" if (64 + len(message)) % 128 in (110, 111) else message


def embed(payload: bytes, signature_text: str) -> bytes:
    """`payload` behind its signature in one piece, the form of `signify -S -e`."""
    return signature_text.encode() + payload


def split_embedded(data: bytes) -> tuple[str, bytes]:
    """The signature's text and the payload of what `embed` made; `FormatError` if there is no signature in front."""
    head = data[:_MAX_TEXT]
    comment_end = head.find(b"\n") + 1
    end = head.find(b"\n", comment_end) + 1
    if not comment_end or not end:
        raise FormatError("the data does not begin with a signature")
    text = _text(data[:end])
    Signature.parse(text)
    return text, data[end:]


def _checksum(pair: bytes) -> bytes:
    import hashlib  # OpenSSL, for secret keys alone

    return hashlib.sha512(pair).digest()[:8]


def _text(data: str | bytes) -> str:
    try:
        return data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError:
        raise FormatError("a key or signature is not text") from None


def _read(text: str | bytes, what: str, size: int) -> tuple[str, bytes]:
    text = _text(text)
    if len(text) > _MAX_TEXT:
        raise FormatError(f"a {what} is not {len(text)} characters long")
    lines = text.removesuffix("\n").split("\n")
    comment = ""
    if len(lines) == 2 and lines[0].startswith(_HEADER):
        comment = lines.pop(0).removeprefix(_HEADER)
    if len(lines) != 1 or not _is_comment(comment):
        raise FormatError(f"a {what} is an 'untrusted comment:' line and a base64 line")
    try:
        data = base64.b64decode(lines[0], validate=True)
    except (ValueError, binascii.Error):
        raise FormatError(f"the {what} is not base64") from None
    if len(data) != size or data[:2] != _ALGORITHM or base64.b64encode(data).decode() != lines[0]:
        raise FormatError(f"the {what} is not of {size} bytes that begin with 'Ed'")
    return comment, data


def _write(comment: str, line: str) -> str:
    if not _is_comment(comment):
        raise InvalidError(f"a comment is one line of up to {_MAX_COMMENT} bytes of UTF-8, not {comment[:60]!r}")
    return f"{_HEADER}{comment}\n{line}\n"


def _is_comment(text: str) -> bool:
    return text.isprintable() and len(text.encode()) <= _MAX_COMMENT
