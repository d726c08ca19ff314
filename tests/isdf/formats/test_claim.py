"""The claim code: read as it was typed, refused when it was typed wrongly, and bound to one catalogue key."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import InvalidError
from isdf.formats import claim
from isdf.formats.usign import PublicKey

KEY = PublicKey(b"fingerpr", bytes(range(32)))
TOKEN = bytes(range(10))
CODE = "AAAQ-EAYE-AUDA-OCAJ-FXKV-CB3Z-WLFB-ZZUK-NJW6"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
tokens = st.binary(min_size=10, max_size=10)
keys = st.builds(PublicKey, st.binary(min_size=8, max_size=8), st.binary(min_size=32, max_size=32))


def test_its_text_is_this():
    assert claim.make(TOKEN, KEY) == CODE


def test_it_is_the_token_the_keys_hash_and_a_checksum():
    data = TOKEN + hashlib.sha256(b"Ed" + b"fingerpr" + bytes(range(32))).digest()[:10]
    letters = base64.b32encode(data) + base64.b32encode(hashlib.sha256(data).digest()[:5])[:4]
    assert CODE.replace("-", "") == letters.decode()
    assert claim.parse(CODE).digest == hashlib.sha256(data).hexdigest()


@given(tokens, keys)
def test_it_is_read_as_written(token, key):
    read = claim.parse(claim.make(token, key))
    assert read.token == token
    assert read.fits(key)


@given(tokens, keys, keys)
def test_it_fits_no_other_key(token, key, other):
    assert claim.parse(claim.make(token, key)).fits(other) == (key == other)


@pytest.mark.parametrize(
    "typed",
    [
        CODE.lower(),
        CODE.replace("-", ""),
        CODE.replace("-", " "),
        f"  {CODE}\n",
        CODE.replace("-", " - "),
        CODE.title(),
    ],
)
def test_case_blanks_and_dashes_do_not_matter(typed):
    assert claim.parse(typed) == claim.parse(CODE)


@given(st.integers(0, 35), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_noticed(place, letter):
    letters = CODE.replace("-", "")
    typed = letters[:place] + letter + letters[place + 1 :]
    if typed != letters:
        with pytest.raises(InvalidError, match="mistyped"):
            claim.parse(typed)


def test_two_letters_in_the_wrong_order_are_noticed():
    with pytest.raises(InvalidError, match="mistyped"):
        claim.parse("AAQA" + CODE[4:])


@pytest.mark.parametrize(
    "typed", ["", CODE[:-1], CODE + "A", CODE.replace("A", "1"), "ß" * 36, "\u0131" * 36, None, b"A" * 36]
)
def test_what_is_no_code_is_said_to_be_none(typed):
    with pytest.raises(InvalidError, match="9 groups of 4"):
        claim.parse(typed)


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_invalid(typed):
    try:
        assert isinstance(claim.parse(typed), claim.Claim)
    except InvalidError:
        pass


def test_a_token_of_another_length_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="10 bytes"):
        claim.make(b"short", KEY)
