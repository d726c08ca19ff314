"""Plain Python Ed25519 against the library `cryptography` and RFC 8032."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from openwrt import ed25519


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_ed25519_is_that_of_cryptography(seed, message):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert ed25519.public_key(seed) == key.public_key().public_bytes_raw()
    assert ed25519.sign(seed, message) == key.sign(message)
    assert ed25519.verify(ed25519.public_key(seed), key.sign(message), message)
    assert not ed25519.verify(ed25519.public_key(seed), key.sign(message), message + b"x")


def test_what_is_no_point_or_no_signature_is_refused():
    seed = bytes(32)
    public, signature = ed25519.public_key(seed), ed25519.sign(seed, b"m")
    assert not ed25519.verify(b"\x02" + bytes(31), signature, b"m")
    assert not ed25519.verify(public, b"\x02" + bytes(31) + signature[32:], b"m")
    assert not ed25519.verify(public, signature[:63], b"m")


def test_the_vector_of_rfc_8032():
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert ed25519.sign(seed, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
