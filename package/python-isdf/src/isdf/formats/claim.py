"""The claim code: what a new router is told, so that it and its manager know each other.

20 bytes: a one-time token (10), and the beginning of the SHA-256 of the catalogue's public key (10; of the 42 bytes
that its base64 line holds). Base32 (RFC 4648) makes 32 characters of them; 4 more are the first 20 bits of the SHA-256
of the 20 bytes. Written in groups of four: `ABCD-EFGH-...`. The token proves the router to the manager, the
fingerprint the manager to the router: 80 bits each, which nobody guesses and no second key is found for.
"""

from __future__ import annotations

import base64

from ..digest import equal, hmac_sha256, sha256
from ..errors import InvalidError
from ..value import dataclass
from .usign import PublicKey

TOKEN_SIZE = FINGERPRINT_SIZE = 10  # bytes
NAME_SIZE, NONCE_SIZE = 8, 16  # bytes
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_LENGTH, _SUM, _GROUP = 32, 4, 4  # characters


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim code says."""

    token: bytes
    fingerprint: bytes

    def fits(self, catalogue_key: PublicKey) -> bool:
        """Whether it was made for the manager whose packages `catalogue_key` signs."""
        return equal(self.fingerprint, fingerprint(catalogue_key))

    @property
    def name(self) -> str:
        """By this the manager finds the device, before it is told the token."""
        return secret(self.token)[:NAME_SIZE].hex()

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the code's 20 bytes: by this a router knows again the code that it used."""
        return sha256(self.token + self.fingerprint).hexdigest()


def make(token: bytes, catalogue_key: PublicKey) -> str:
    """The code of `token` (10 random bytes)."""
    if len(token) != TOKEN_SIZE:
        raise ValueError(f"a token has {TOKEN_SIZE} bytes, not {len(token)}")
    data = token + fingerprint(catalogue_key)
    text = base64.b32encode(data).decode() + _checksum(data)
    return "-".join(text[i : i + _GROUP] for i in range(0, len(text), _GROUP))


def parse(text: str) -> Claim:
    """The claim that was typed as `text`, in any case, with or without blanks and `-`; else `InvalidError`."""
    letters = (
        "".join(c for c in text.upper() if c != "-" and not c.isspace())
        if isinstance(text, str) and text.isascii()
        else ""
    )
    if len(letters) != _LENGTH + _SUM or not _LETTERS.issuperset(letters):
        raise InvalidError("the claim code is not 9 groups of 4 letters A-Z or digits 2-7; copy it as it was printed")
    data = base64.b32decode(letters[:_LENGTH])
    if letters[_LENGTH:] != _checksum(data):
        raise InvalidError("the claim code is mistyped: its last group does not fit the others; copy it once more")
    return Claim(data[:TOKEN_SIZE], data[TOKEN_SIZE:])


def secret(token: bytes) -> bytes:
    """What the manager has of a code: the SHA-256 of its token."""
    return sha256(token).digest()


def seal(secret: bytes, nonce: bytes, statement: bytes) -> str:
    """Hex HMAC-SHA256 by which a manager that knows the code says that `statement` is its newest keys statement.

    Statements are public and have no end, so one that was replaced, and the key of its authority, would make anybody
    the manager of a new router. `nonce` are 16 random bytes of the router's.
    """
    return hmac_sha256(secret, b"isdf keys" + nonce + sha256(statement).digest()).hex()


def fingerprint(catalogue_key: PublicKey) -> bytes:
    """The 10 bytes by which a claim code names the catalogue key."""
    return sha256(base64.b64decode(catalogue_key.line)).digest()[:FINGERPRINT_SIZE]


def _checksum(data: bytes) -> str:
    return base64.b32encode(sha256(data).digest()[:5]).decode()[:_SUM]
