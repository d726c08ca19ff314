"""The two authenticated messages between a manager and its routers: the push datagram and the signed request.

Both keys come from the device key (32 random bytes known to the router and the manager) by HKDF (RFC 5869), one for
each purpose, so that neither message can be taken for the other.
"""

from __future__ import annotations

import binascii
import struct

from .digest import equal, hmac_sha256, sha256

_PUSH = struct.Struct(">4sB3xQ")
_MAGIC, _VERSION = b"iSDF", 1
PUSH_SIZE = _PUSH.size + 32


def derive(device_key: bytes, purpose: str) -> bytes:
    """The 32-byte key for `purpose` ("push" or "request"): HKDF-SHA256 without salt, info "isdf <purpose>"."""
    pseudorandom = hmac_sha256(bytes(32), device_key)
    return hmac_sha256(pseudorandom, b"isdf " + purpose.encode() + b"\x01")


def push_datagram(key: bytes, sequence: int) -> bytes:
    """The datagram that makes a router pull now: magic, version, sequence (64 bit, only rises), HMAC-SHA256."""
    head = _PUSH.pack(_MAGIC, _VERSION, sequence)
    return head + hmac_sha256(key, head)


def read_push(key: bytes, datagram: bytes) -> int | None:
    """The sequence of an authentic push, None for anything else. The caller refuses a sequence that does not rise."""
    if len(datagram) != PUSH_SIZE:
        return None
    head, seal = datagram[: _PUSH.size], datagram[_PUSH.size :]
    if not equal(hmac_sha256(key, head), seal):
        return None
    magic, version, sequence = _PUSH.unpack(head)
    return sequence if magic == _MAGIC and version == _VERSION else None


def content_digest(body: bytes) -> str:
    """The header `Content-Digest` of `body` (RFC 9530) by SHA-256; "" where there is no body and no header."""
    digest = binascii.b2a_base64(sha256(body).digest(), newline=False).decode()
    return f"sha-256=:{digest}:" if body else ""


def sign_request(key: bytes, method: str, path: str, digest: str, time: int, nonce: str) -> str:
    """The hex HMAC-SHA256 over method, path (with its query), Unix time, nonce and `digest`, the `content_digest`.

    Sent as `Isdf-Signature` beside `Isdf-Time`, `Isdf-Nonce` and `Content-Digest`: so a request is known to be genuine
    before its body is read.
    """
    text = "\n".join((method.upper(), path, str(time), nonce, digest))
    return hmac_sha256(key, text.encode()).hex()


def verify_request(key: bytes, method: str, path: str, digest: str, time: str, nonce: str, signature: str) -> bool:
    """Whether `signature` is that of the request (texts as in its headers); takes the same time for every answer.

    Whether the body has this `digest` is for the caller to see.
    """
    return equal(sign_request(key, method, path, digest, time, nonce).encode(), signature.encode())
