"""Which keys statement a router believes, first and later, each refusal with the reason that a person reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import NOW, Operator, make_key, sign, verify

from isdf.errors import FormatError, IsdfError, RefusedError, SignatureError
from isdf.formats import claim as claims
from isdf.formats import keys as statements
from isdf.formats import usign
from isdf_agent.delivery.trusted import TrustedKeys


@pytest.fixture
def operator():
    return Operator()


def newcomer(operator):
    return TrustedKeys(verify, claim=claims.parse(operator.claim()))


def knowing(operator, **options):
    """A router that believes what the operator says now."""
    trusted = newcomer(operator)
    return TrustedKeys(verify, keys=trusted.accept(operator.keys()), **options)


def thief():
    """Who has the assignment key, the authority and the server, and not the catalogue key."""
    thief = Operator()
    thief.catalogue_key = make_key(9)
    return thief


def test_the_statement_of_the_catalogue_key_in_the_claim_code_is_believed(operator):
    keys = newcomer(operator).accept(operator.keys())
    assert keys.assignment_key == operator.assignment_key.public_key().line


def test_a_whole_other_manager_is_not_believed_by_a_router_with_a_claim_code(operator):
    with pytest.raises(SignatureError, match="not the one of the claim code"):
        newcomer(operator).accept(thief().keys())


def test_a_statement_that_names_the_catalogue_key_and_is_signed_by_another_is_refused(operator):
    forged = operator.keys(key=make_key(9))
    with pytest.raises(SignatureError, match="not signed by the catalogue key that it names"):
        newcomer(operator).accept(forged)
    with pytest.raises(SignatureError, match="not signed by the catalogue key that it names"):
        knowing(operator).accept(forged)


def test_a_key_with_the_fingerprint_of_the_catalogue_key_is_another_key(operator):
    same = usign.SecretKey(operator.catalogue_key.fingerprint, bytes([9]) * 32, make_key(9).public)
    statement = operator.keys(key=same, catalogue_key=same.public_key().line)
    with pytest.raises(SignatureError, match="claim code"):
        newcomer(operator).accept(statement)
    with pytest.raises(SignatureError, match="another catalogue key"):
        knowing(operator).accept(statement)


def test_a_higher_version_replaces_the_assignment_key_and_the_authority(operator):
    trusted = knowing(operator)
    operator.assignment_key = make_key(5)
    operator.keys_version += 1
    new = trusted.accept(operator.keys())
    assert trusted.keys == new
    assert new.assignment_key == make_key(5).public_key().line


@pytest.mark.parametrize("back", [0, 1, 1000])
def test_what_was_replaced_never_comes_back(operator, back):
    old = operator.keys(version=operator.keys_version - back)
    operator.assignment_key = make_key(5)
    trusted = knowing(operator)
    with pytest.raises(RefusedError, match="is not higher than"):
        trusted.accept(old)
    assert trusted.keys.assignment_key == make_key(5).public_key().line


def test_the_last_statement_again_changes_nothing(operator):
    trusted = knowing(operator)
    assert trusted.accept(operator.keys()) == trusted.keys


def test_the_catalogue_key_is_for_ever(operator):
    trusted, other = knowing(operator), make_key(9)
    statement = operator.keys(version=NOW * 1000 + 1, catalogue_key=other.public_key().line)
    with pytest.raises(SignatureError, match="another catalogue key"):
        trusted.accept(statement)


def test_a_new_claim_code_of_the_same_manager_brings_no_older_statement(operator):
    old = operator.keys()
    operator.keys_version += 1
    trusted = knowing(operator, claim=claims.parse(operator.claim()))
    with pytest.raises(RefusedError, match="is not higher than"):
        trusted.accept(old)


def test_a_claim_code_of_another_manager_begins_anew(operator):
    other = thief()
    other.keys_version = 1
    trusted = knowing(operator, claim=claims.parse(other.claim()))
    assert trusted.accept(other.keys()).version == 1


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_a_statement_of_which_any_byte_is_changed_is_refused(position, bit):
    operator = Operator()
    data = bytearray(operator.keys())
    data[int(position * len(data))] ^= 1 << bit
    with pytest.raises(IsdfError):
        newcomer(operator).accept(bytes(data))


def test_a_signature_with_words_of_its_own_is_refused(operator):
    payload = statements.dump(newcomer(operator).accept(operator.keys()))
    text = sign(payload, operator.catalogue_key).dump().replace("signed by key", "believe me, key")
    with pytest.raises(FormatError, match="comment of its own"):
        newcomer(operator).accept(usign.embed(payload, text))


def test_a_statement_without_end_is_refused(operator):
    with pytest.raises(FormatError, match="bytes"):
        newcomer(operator).accept(operator.keys() + bytes(70_000))
