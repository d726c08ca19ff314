"""Push datagrams and signed requests: the bytes on the wire, against independent implementations and fixed vectors."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from isdf import wire

KEY = bytes(range(32))
keys = st.binary(min_size=32, max_size=32)
sequences = st.integers(0, 2**64 - 1)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


@given(st.binary(min_size=1, max_size=64), st.sampled_from(["push", "request"]))
def test_keys_are_derived_by_hkdf(key, purpose):
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"isdf {purpose}".encode())
    assert wire.derive(key, purpose) == hkdf.derive(key)


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("push", "d41cc6e1a4a344ea36a7595e185161678337fcf1689397e755d4891b18094930"),
        ("request", "4c49f7dda8e663eb61d53bd0ca0d8fae54383af84c1c683c30f85fb4c1ec69ba"),
    ],
)
def test_derived_keys_are_these(purpose, expected):
    assert wire.derive(KEY, purpose).hex() == expected


def test_a_push_is_these_48_bytes():
    datagram = wire.push_datagram(KEY, 1790000000000)
    assert datagram[:16].hex() == "69534446" + "01000000" + "000001a0c4506c00"
    assert datagram[16:] == hmac.new(KEY, datagram[:16], hashlib.sha256).digest()
    assert len(datagram) == wire.PUSH_SIZE == 48


@given(keys, sequences)
def test_a_push_is_read_with_its_key_alone(key, sequence):
    datagram = wire.push_datagram(key, sequence)
    assert wire.read_push(key, datagram) == sequence
    assert wire.read_push(bytes(32) if any(key) else KEY, datagram) is None


@given(st.data(), sequences)
def test_a_changed_push_is_none(data, sequence):
    datagram = bytearray(wire.push_datagram(KEY, sequence))
    datagram[data.draw(st.integers(0, 47))] ^= data.draw(st.integers(1, 255))
    assert wire.read_push(KEY, bytes(datagram)) is None


@given(st.binary(max_size=100))
def test_any_bytes_are_no_push(datagram):
    assert wire.read_push(KEY, datagram) is None


@pytest.mark.parametrize("head", [b"iSDG\x01\0\0\0" + bytes(8), b"iSDF\x02\0\0\0" + bytes(8)])
def test_another_protocol_is_none_even_when_authentic(head):
    assert wire.read_push(KEY, head + hmac.digest(KEY, head, "sha256")) is None


def test_a_request_is_signed_over_these_lines():
    body = b'{"serial": 1}'
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert wire.content_digest(body) == digest
    lines = f"POST\n/device/home1/report?x=1\n1790000000\nnonce\n{digest}"
    expected = hmac.new(KEY, lines.encode(), hashlib.sha256).hexdigest()
    assert wire.sign_request(KEY, "post", "/device/home1/report?x=1", digest, 1790000000, "nonce") == expected


def test_a_request_without_a_body_has_no_digest():
    assert wire.content_digest(b"") == ""
    # The example of RFC 9530, appendix B.1.
    assert wire.content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


@given(keys, names, st.binary(max_size=50), st.integers(0, 2**40), names)
def test_a_request_verifies_as_it_was_signed(key, path, body, time, nonce):
    digest = wire.content_digest(body)
    signature = wire.sign_request(key, "GET", path, digest, time, nonce)
    assert wire.verify_request(key, "GET", path, digest, str(time), nonce, signature)


@given(st.sampled_from(["key", "method", "path", "digest", "time", "nonce", "signature"]))
def test_nothing_of_a_request_can_be_changed(what):
    request = {"key": KEY, "method": "GET", "path": "/device/home1/assignment", "digest": "", "time": "1790000000",
               "nonce": "abc"}  # fmt: skip
    signature = wire.sign_request(KEY, "GET", request["path"], "", 1790000000, "abc")
    assert wire.verify_request(**request, signature=signature)
    changed = {"key": bytes(32), "method": "POST", "path": "/device/home2/assignment", "digest": "x",
               "time": "1790000001", "nonce": "abd", "signature": "0" * 64}  # fmt: skip
    assert not wire.verify_request(**{**request, "signature": signature, what: changed[what]})


@given(st.text(max_size=80))
def test_any_text_is_no_signature(signature):
    assert not wire.verify_request(KEY, "GET", "/", "", "0", "", signature)


def test_lines_cannot_be_moved_between_fields():
    signed = wire.sign_request(KEY, "GET", "/a", "", 1, "2")
    assert not wire.verify_request(KEY, "GET", "/a\n1", "", "2", "", signed)
