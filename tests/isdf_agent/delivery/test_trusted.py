"""What a pull believes and what it refuses, each with the reason that a person reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import NOW, Operator, make_key, service_package, verify

from isdf.errors import FormatError, IsdfError, RefusedError, SignatureError
from isdf.formats import ipk
from isdf.value import asdict
from isdf_agent.delivery.trusted import PACKAGE_MAX, Trusted


def trusted(operator, **options):
    keys = operator.assignment_key.public_key(), operator.catalogue_key.public_key()
    return Trusted("home1", *keys, verify, **{"now": NOW, **options})


@pytest.fixture
def operator():
    operator = Operator()
    operator.subscribe("tv", config={"rate": "200kBps"})
    operator.subscribe("vpn", "2.1.0")
    return operator


def pull(operator, router):
    """All three steps of a pull."""
    assignment = router.accept_assignment(operator.assignment())
    router.accept_index(operator.packages_file())
    for entry in assignment.services:
        router.accept_package(entry, operator.packages[entry.filename])
    return assignment


def test_what_the_operator_says_is_believed(operator):
    assignment = pull(operator, trusted(operator))
    assert [entry.name for entry in assignment.services] == ["tv", "vpn"]


def test_the_same_assignment_again_is_believed(operator):
    pull(operator, trusted(operator, serial=operator.serial, digest=operator.digest()))


def test_the_serials_of_a_key_that_was_replaced_count_for_nothing(operator):
    used_up = {"serial": 2**53 - 1, "digest": "0" * 64}
    pull(operator, trusted(operator, **used_up, signer=make_key(9).fingerprint.hex()))
    with pytest.raises(RefusedError, match="older than"):
        pull(operator, trusted(operator, **used_up, signer=operator.assignment_key.fingerprint.hex()))


@pytest.mark.parametrize(
    ("fields", "options", "sentence"),
    [
        ({"device": "home2"}, {}, "for device 'home2'; this is 'home1'"),
        ({"serial": 5}, {"serial": 6}, "older than 6"),
        ({"serial": 5}, {"serial": 5, "digest": "0" * 64}, "used before"),
        ({"issued": NOW - 9, "expires": NOW}, {}, "expired on 2027-01-15 08:00 UTC; here it is 2027"),
        ({"issued": NOW + 200_000, "expires": NOW + 300_000}, {}, "issued on 2027-01-17 15:33 UTC; here it is 2027"),
    ],
)
def test_an_assignment_that_is_not_for_here_and_now_is_refused(operator, fields, options, sentence):
    with pytest.raises(RefusedError, match=sentence):
        trusted(operator, **options).accept_assignment(operator.assignment(**fields))


def test_a_clock_that_is_not_set_calls_nothing_too_new(operator):
    data = operator.assignment(issued=NOW + 200_000, expires=NOW + 300_000)
    assert trusted(operator, clock_set=False).accept_assignment(data)


def test_a_clock_that_is_not_set_calls_too_new_what_is_newer_than_its_answer(operator):
    data = operator.assignment(issued=NOW + 200_000, expires=NOW + 300_000)
    with pytest.raises(RefusedError, match="issued on"):
        trusted(operator, now=NOW - 10**9, clock_set=False, date=NOW).accept_assignment(data)
    assert trusted(operator, now=NOW - 10**9, clock_set=False, date=NOW + 199_000).accept_assignment(data)


def test_the_time_of_an_assignment_that_was_wrong_about_it_counts_for_nothing(operator):
    """By a key that was replaced, or by a manager whose clock was ahead; not where it may have been right."""
    wrong = NOW + 200 * 365 * 86400
    signer = operator.assignment_key.fingerprint.hex()
    last = {"now": wrong + 10, "unsigned": 0.0, "clock_set": False, "issued": wrong, "serial": 1, "digest": "0" * 64}
    assert trusted(operator, **last, signer=signer).accept_assignment(operator.assignment())
    assert trusted(operator, **last | {"issued": 0}, signer=make_key(9).fingerprint.hex()).accept_assignment(
        operator.assignment()
    )
    with pytest.raises(RefusedError, match="expired"):
        trusted(operator, **last | {"issued": 0}, signer=signer).accept_assignment(operator.assignment())


def test_a_signature_by_another_key_is_refused(operator):
    for key in (make_key(9), operator.catalogue_key):
        with pytest.raises(SignatureError, match="not signed by this router's assignment key"):
            trusted(operator).accept_assignment(operator.assignment(key))


def test_the_assignment_key_cannot_bring_code_of_its_own(operator):
    operator.catalogue_key, honest = operator.assignment_key, operator.catalogue_key
    operator.subscribe("tv", "6.6.6")
    operator.catalogue_key = honest
    router = trusted(operator)
    router.accept_assignment(operator.assignment())
    router.accept_index(operator.packages_file())
    entry = operator.entries["tv"]
    with pytest.raises(SignatureError, match=r"isdf-service-tv 6\.6\.6 is not signed by the catalogue key"):
        router.accept_package(entry, operator.packages[entry.filename])


def test_a_catalogue_signature_is_of_one_package_alone(operator):
    tv = operator.entries["tv"]
    operator.configure("vpn", signature=tv.signature)
    router = trusted(operator)
    vpn = router.accept_assignment(operator.assignment()).services[1]
    with pytest.raises(SignatureError, match="isdf-service-vpn"):
        router.accept_package(vpn, operator.packages[vpn.filename])


def test_what_was_verified_before_is_not_verified_again_but_nothing_else_passes_by_it(operator):
    tv = operator.entries["tv"]
    vouched = {tv.signature: tv.catalogue_message().decode()}
    checked = []
    router = trusted(operator, vouched=vouched)
    router._verify = lambda message, signature, key: checked.append(message) or verify(message, signature, key)
    pull(operator, router)
    assert tv.catalogue_message() not in checked
    assert operator.entries["vpn"].catalogue_message() in checked
    evil = operator.subscribe("tv", "6.6.6", signature=tv.signature)
    with pytest.raises(SignatureError, match="not signed by the catalogue key"):
        trusted(operator, vouched=vouched).accept_package(evil, operator.packages[evil.filename])


def test_an_index_of_another_customer_or_day_is_refused(operator):
    router = trusted(operator)
    router.accept_assignment(operator.assignment())
    operator.subscribe("extra")
    with pytest.raises(SignatureError, match="not the one that the assignment names"):
        router.accept_index(operator.packages_file())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"Version: 2.1.0", b"Version: 9.9.9", "says Version '9.9.9' of isdf-service-vpn"),
        (b"SHA256sum", b"X-SHA256x", "says SHA256sum None"),
        (b"Package: isdf-service-vpn", b"Package: isdf-service-vp2", "does not have isdf-service-vpn"),
    ],
)
def test_an_index_that_contradicts_the_assignment_is_refused(operator, old, new, sentence):
    operator.index = operator.packages_file().replace(old, new)
    router = trusted(operator)
    router.accept_assignment(operator.assignment())
    with pytest.raises(FormatError, match=sentence):
        router.accept_index(operator.packages_file())


def test_an_old_package_under_a_new_index_is_refused(operator):
    old = operator.packages[operator.entries["tv"].filename]
    entry = operator.subscribe("tv", "1.1.0")
    router = trusted(operator)
    router.accept_assignment(operator.assignment())
    with pytest.raises(SignatureError, match=r"tv_1\.1\.0_all\.ipk is not the package that the assignment names"):
        router.accept_package(entry, old)


TV = "/usr/lib/isdf/services/tv"
GROWN = {
    "a foreign file": {"add": [ipk.File("/etc/passwd", 0o644, b"x")]},
    "another service's folder": {"add": [ipk.File("/usr/lib/isdf/services/vpn/service.py", 0o644, b"x")]},
    "a setuid bit": {"add": [ipk.File(f"{TV}/su", 0o4755, b"x")]},
    "a symlink": {"add": [ipk.File(f"{TV}/s", 0o777, kind="symlink", target="/etc/shadow")]},
    "a hard link": {"add": [ipk.File(f"{TV}/h", 0o644, kind="hardlink", target="/etc/shadow")]},
    "a device": {"add": [ipk.File(f"{TV}/d", 0o600, kind="block device")]},
    "a postinst of its own": {"scripts": {"postinst": b"#!/bin/sh\nreboot\n"}},
    "another service's user": {"control": {"Require-User": "isdf-vpn:isdf"}},
    "the user root": {"control": {"Require-User": "root"}},
    "the name of a system package": {"control": {"Package": "busybox"}},
    "a dependency of its own": {"control": {"Depends": "isdf-agent, netcat"}},
    "a claim on other packages": {"control": {"Replaces": "busybox"}},
    "another version inside": {"control": {"Version": "7.7.7"}},
}


@pytest.mark.parametrize("case", GROWN)
def test_a_package_that_is_more_than_a_service_is_refused_although_both_keys_vouch_for_it(operator, case):
    entry = operator.subscribe("tv", data=service_package("tv", **GROWN[case]))
    router = trusted(operator)
    operator.index = b"\n"  # opkg's part is tested elsewhere
    router.accept_assignment(operator.assignment())
    with pytest.raises(FormatError, match=r"isdf-service-tv_1\.0\.0_all\.ipk: "):
        router.accept_package(entry, operator.packages[entry.filename])


def test_a_package_that_is_too_large_is_refused_before_it_is_fetched(operator):
    operator.configure("tv", size=PACKAGE_MAX + 1)
    with pytest.raises(RefusedError, match="are the most"):
        trusted(operator).accept_assignment(operator.assignment())


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_an_assignment_of_which_any_byte_is_changed_is_refused(position, bit):
    operator = Operator()
    operator.subscribe("tv", config={"rate": "200kBps"})
    data = bytearray(operator.assignment())
    data[int(position * len(data))] ^= 1 << bit
    with pytest.raises(IsdfError):
        trusted(operator).accept_assignment(bytes(data))


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_an_index_or_package_of_which_any_byte_is_changed_is_refused(position, bit):
    operator = Operator()
    entry = operator.subscribe("tv")
    router = trusted(operator)
    router.accept_assignment(operator.assignment())
    for data, accept in (
        (bytearray(operator.packages_file()), router.accept_index),
        (bytearray(operator.packages[entry.filename]), lambda data: router.accept_package(entry, data)),
    ):
        data[int(position * len(data))] ^= 1 << bit
        with pytest.raises(SignatureError):
            accept(bytes(data))


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_junk_in_place_of_an_assignment_is_refused(data):
    with pytest.raises(IsdfError):
        trusted(Operator()).accept_assignment(data)


def test_a_refusal_leaves_what_was_believed_before(operator):
    router = trusted(operator)
    before = router.accept_assignment(operator.assignment())
    with pytest.raises(RefusedError):
        router.accept_assignment(operator.assignment(device="home2"))
    assert router.assignment == before
    assert asdict(router.assignment) == asdict(operator.statement())
