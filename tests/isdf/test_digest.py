"""SHA-256 and HMAC without OpenSSL, against those of the standard library."""

import hashlib
import hmac
import runpy
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf import digest

OWN = ("_sha2", "_sha256")  # of Python 3.12 and later, of 3.11


@given(st.binary(max_size=300))
def test_a_digest_is_that_of_hashlib(data):
    assert digest.sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_a_seal_is_that_of_hmac_for_keys_of_every_length(key, message):
    assert digest.hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_digests_are_equal_where_their_bytes_are(one, other):
    assert digest.equal(one, one)
    assert digest.equal(one, other) == (one == other)


@pytest.mark.parametrize("there", [*OWN, "hashlib"])
def test_every_interpreter_has_one_of_three(monkeypatch, there):
    for name in OWN:
        monkeypatch.setitem(sys.modules, name, hashlib if name == there else None)
    module = runpy.run_path(digest.__file__)
    assert module["sha256"](b"").hexdigest() == hashlib.sha256(b"").hexdigest()
