"""SHA-256 and HMAC-SHA-256 (RFC 2104) by the interpreter's own code.

`hashlib` and `hmac` bring OpenSSL into a process, 0.5 MB of the agent's memory, and are no faster for messages as short
as ours.
"""

from __future__ import annotations

from _operator import _compare_digest as equal  # whether two digests are; takes the same time wherever they differ

try:
    from _sha2 import sha256  # since Python 3.12
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:  # an interpreter that was built without
        from hashlib import sha256

__all__ = ["equal", "hmac_sha256", "sha256"]

_BLOCK = 64  # bytes
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The 32 bytes that only who has `key` can make of `message`."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    inner = sha256(key.translate(_INNER) + message).digest()
    return sha256(key.translate(_OUTER) + inner).digest()
