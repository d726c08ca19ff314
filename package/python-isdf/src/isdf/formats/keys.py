"""The keys statement: which keys and which certificate authority are a manager's, signed by its catalogue key.

A router begins with one that fits its claim code, and takes any of a higher version that the same catalogue key
signed: so the assignment key and the authority are replaced. Its form is that of `statement`; it travels behind its
signature (`usign.embed`).
"""

from __future__ import annotations

import base64
import binascii
import re

from ..errors import FormatError
from ..value import dataclass
from . import statement, usign

MAX_SIZE = 64 << 10
TYPE, FORMAT = "isdf-keys", 1
_FIELDS = ("version", "catalogue_key", "assignment_key", "authority")
_CERTIFICATE = r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END CERTIFICATE-----\n"
_AUTHORITY = re.compile(rf"(?:{_CERTIFICATE})*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """`version` only rises (the larger of the last one + 1 and Unix milliseconds); the keys are base64 lines of usign;
    `authority` is PEM certificates, each of which routers believe, "" where the manager is reached without TLS.
    `FormatError` for what cannot be."""

    version: int
    catalogue_key: str
    assignment_key: str
    authority: str = ""

    def __post_init__(self) -> None:
        statement.integer(self.version, "version", 1)
        for what in ("catalogue_key", "assignment_key"):
            line = getattr(self, what)
            if not isinstance(line, str) or usign.PublicKey.parse(line).line != line:
                raise FormatError(f"{what} is not the base64 line of a public key")
        statement.match(_AUTHORITY, self.authority, "authority")
        for body in re.findall(_CERTIFICATE, self.authority):
            try:
                base64.b64decode(body.replace("\n", ""), validate=True)
            except binascii.Error:
                raise FormatError("authority has a certificate that is not base64") from None


def dump(keys: Keys) -> bytes:
    """The bytes of `keys`, to be signed by the catalogue key."""
    return statement.dump({"type": TYPE, "format": FORMAT} | {n: getattr(keys, n) for n in _FIELDS}, MAX_SIZE)


def read(data: bytes) -> Keys:
    """The statement behind its signature in `data`, which was verified when it came; `FormatError` where damaged."""
    return parse(usign.split_embedded(data)[1])


def parse(data: bytes) -> Keys:
    """The statement that `data` is; `FormatError` for anything that `dump` would not have written."""
    document = statement.load(data, TYPE, FORMAT, MAX_SIZE)
    try:
        keys = Keys(**{name: document[name] for name in _FIELDS})
    except KeyError as error:
        raise FormatError(f"the {TYPE} lacks {error}") from None
    if dump(keys) != data:
        raise FormatError(f"the {TYPE} is not in its canonical form, or has a field too many")
    return keys
