"""Assignments that are not this router's, not of now, or not the manager's."""

import time

import pytest
from simulator import make_key

from attacks.forgery import flipped, reassigned, signed
from attacks.relay import changing, saying
from isdf.formats import assignment as wire
from isdf.formats import usign
from isdf.value import replace

pytestmark = pytest.mark.system
attack = pytest.mark.attack
PATH = "^/device/home1/assignment$"
STRANGER = "the assignment is not signed by this router's assignment key"


@pytest.fixture
def refuses(isp, home):
    """`refuses(change, words)`: the home refuses the assignment of a new version when it is changed on its way, and
    takes it unchanged."""

    def try_it(change, words):
        version = isp.publish()
        with isp.relay.answering(PATH, changing(change)):
            home.refuses(words)
        home.takes(tv=version)

    return try_it


@attack("signature-by-another-key")
def test_an_assignment_signed_by_another_key(refuses):
    refuses(lambda data: reassigned(data, make_key(9)), STRANGER)


@attack("signature-under-anothers-fingerprint")
def test_an_assignment_signed_by_a_key_that_has_the_managers_fingerprint(isp, refuses):
    false = replace(make_key(9), fingerprint=isp.assignment_key.fingerprint)
    refuses(lambda data: reassigned(data, false), STRANGER)


@attack("signature-by-the-catalogue-key")
def test_an_assignment_signed_by_the_key_of_the_catalogue(isp, refuses):
    refuses(lambda data: reassigned(data, isp.catalogue_key), STRANGER)


@attack("assignment-of-another-device")
def test_the_assignment_of_the_neighbour(isp, refuses):
    isp.add("home2")
    isp.sell("home2")
    theirs = isp.publication("home2").assignment
    refuses(lambda data: theirs, "the assignment is for device 'home2'; this is 'home1'")


@attack("assignment-of-an-older-serial")
def test_the_assignment_before_the_one_in_force(isp, home, refuses):
    isp.publish()
    old = isp.publication("home1").assignment
    home.takes(tv=isp.publish())
    refuses(lambda data: old, r"the assignment's serial \d+ is older than \d+")


@attack("assignment-of-the-same-serial")
def test_another_assignment_of_the_serial_in_force(isp, home, refuses):
    serial = home.status()["serial"]
    refuses(lambda data: reassigned(data, isp.assignment_key, serial=serial), f"serial {serial} was used before")


@attack("assignment-expired")
def test_an_assignment_that_has_expired(isp, refuses):
    then = int(time.time()) - 8 * 86400
    fields = {"issued": then, "expires": then + 7 * 86400}
    refuses(lambda data: reassigned(data, isp.assignment_key, **fields), "expired on")


@attack("assignment-from-the-future")
def test_an_assignment_from_the_future(isp, refuses):
    then = int(time.time()) + 2 * 86400
    fields = {"issued": then, "expires": then + 7 * 86400}
    refuses(lambda data: reassigned(data, isp.assignment_key, **fields), "was issued on")


@attack("assignment-changed-by-one-byte")
def test_an_assignment_of_which_a_byte_is_changed(refuses):
    refuses(lambda data: flipped(data, -20), STRANGER)


@attack("assignment-with-unsigned-words")
def test_words_beside_the_signature(refuses):
    def spoken(data):
        text, payload = usign.split_embedded(data)
        lines = text.splitlines()
        return usign.embed(payload, f"untrusted comment: buy at Joe's\n{lines[1]}\n")

    refuses(spoken, "the assignment has a signature with a comment of its own")


@attack("assignment-with-a-key-twice")
def test_a_signed_text_that_can_be_read_in_two_ways(isp, refuses):
    def twice(data):
        payload = usign.split_embedded(data)[1]
        return signed(payload.replace(b'"device":"home1"', b'"device":"home2","device":"home1"'), isp.assignment_key)

    refuses(twice, "the assignment is not in its canonical form")


@attack("assignment-too-long")
def test_an_assignment_without_measure(isp, refuses):
    def long(data):
        mine = wire.parse(usign.split_embedded(data)[1])
        entry = replace(mine.services[0], config={"sites": ["x" * 1000] * 400})
        return reassigned(data, isp.assignment_key, services=(entry,))

    refuses(long, "is longer than 262144 bytes")


@attack("assignment-nested-without-end")
@pytest.mark.parametrize("levels", [20, 100_000])
def test_a_configuration_that_is_nested_without_end(isp, refuses, levels):
    def nested(data):
        payload = usign.split_embedded(data)[1]
        deep = b'{"x":' + b"[" * levels + b"]" * levels + b"}"
        return signed(payload.replace(b'"config":{}', b'"config":' + deep), isp.assignment_key)

    refuses(nested, "config nests tables and lists deeper than a router's bus|the isdf-assignment is not JSON")


def test_a_relay_that_changes_nothing_is_no_attack(isp, home):
    version = isp.publish()
    with isp.relay.answering(PATH, saying(isp.publication("home1").assignment)):
        home.takes(tv=version)
