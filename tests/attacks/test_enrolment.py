"""First trust: who a new router believes, and whom the manager believes to be one of its routers."""

import os
import re

import pytest
from certificates import Authority
from simulator import Operator, make_key

from attacks.forgery import signed
from attacks.home import Home
from attacks.relay import Relay, saying
from isdf.formats import claim, keys, usign
from isdf.value import replace

pytestmark = pytest.mark.system
attack = pytest.mark.attack


@pytest.fixture
def homes(secure_isp, tmp_path):
    """`homes(uci)`: a new router with that configuration; all are gone at the end."""
    made = []

    def new(uci: str) -> Home:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Home(folder, uci, secure_isp.relay))
        return made[-1]

    yield new
    for home in made:
        home.close()


def code_of(uci: str) -> str:
    return re.search("option claim '(.*)'", uci)[1]


def refused(home: Home, words: str) -> None:
    """A new router does not come to an identity, and says why."""
    home.start(newcomer=True)
    home.until(lambda: re.search(words, home.log()))
    home.logged(words, 0)
    assert home.call("isdf", "status")["enrolled"] is False
    assert not (home.root / "etc/isdf/identity.json").exists()
    assert home.procd.instances == {}


@attack("claim-code-used-by-a-second-device")
def test_another_router_with_a_code_that_was_used(secure_isp, homes):
    uci = secure_isp.add("twin")
    secure_isp.sell("twin")
    first, second = homes(uci), homes(uci)
    first.start()
    with secure_isp.refusing_key("twin", 409):
        refused(second, "another router was enrolled with this claim code")
    first.takes(tv=secure_isp.publish())
    # With a code of its own it is one.
    third = homes(secure_isp.add("third"))
    third.start()


@attack("claim-code-wrong")
def test_a_claim_code_that_nobody_gave_out(secure_isp, homes):
    uci = secure_isp.add("wrong")
    code = code_of(uci)
    public = secure_isp.catalogue_key.public_key()
    with secure_isp.refusing_key("wrong", 403, "/enroll/seal"):
        refused(homes(uci.replace(code, claim.make(os.urandom(10), public))), "does not know this claim code")
    mistyped = code[:-1] + ("A" if code[-1] != "A" else "B")
    refused(homes(uci.replace(code, mistyped)), "option claim: .*mistyped")
    homes(uci).start()


@attack("replaced-router-comes-back")
def test_a_router_whose_place_another_one_has_taken(secure_isp, homes):
    uci = secure_isp.add("swapped")
    secure_isp.sell("swapped")
    old = homes(uci)
    old.start()
    new = homes(uci.replace(code_of(uci), secure_isp.replacement("swapped")))
    old.takes(tv=secure_isp.publish())  # until the new one is there
    new.start()
    secure_isp.publish()
    start = len(secure_isp.log())
    old.refuses(r"pull \(asked\): the manager answers .* with status 401")
    assert ("/device/swapped/assignment", 401) in secure_isp.refusals(start)
    new.takes(tv=secure_isp.versions["tv"])


@pytest.fixture
def between(secure_isp, tmp_path):
    """Somebody who speaks TLS with a certificate of his own to whoever calls the manager."""
    mallory = Authority("mallory")
    relay = Relay(("127.0.0.1", secure_isp.port), mallory.certify(tmp_path))
    relay.authority = mallory
    secure_isp.relay.target = relay.port
    yield relay
    secure_isp.relay.target = secure_isp.port
    relay.close()


def learned_nothing(between: Relay, code: str, *others: str) -> None:
    """Nobody told him the token or a key."""
    assert {request.path for request in between.seen} == {"/keys", *others}
    token = claim.parse(code).token.hex().encode()
    assert not any(token in request.body for request in between.seen)


@attack("man-in-the-middle-with-keys-of-his-own")
def test_somebody_in_between_who_says_that_he_is_the_manager(secure_isp, homes, between):
    uci = secure_isp.add("alice")
    his = Operator()
    his.catalogue_key, his.authority = make_key(8), between.authority.pem
    # Signed by his own key, and as if it were by the true one.
    forged = his.keys(catalogue_key=secure_isp.catalogue_key.public_key().line)
    for statement, words in ((his.keys(), "not the one of the claim code"), (forged, "is not signed by the catalogue")):
        with between.answering("/keys$", saying(statement)):
            refused(homes(uci), words)
    learned_nothing(between, code_of(uci))
    secure_isp.relay.target = secure_isp.port
    homes(uci).start()


@attack("man-in-the-middle-with-the-true-keys")
def test_somebody_in_between_who_hands_on_what_the_manager_says(secure_isp, homes, between):
    uci = secure_isp.add("bob")
    refused(homes(uci), "not of the authority .*told neither the claim code nor this router's key")
    learned_nothing(between, code_of(uci))
    secure_isp.relay.target = secure_isp.port
    homes(uci).start()


@attack("man-in-the-middle-with-keys-that-were-replaced")
def test_somebody_in_between_with_the_key_of_an_authority_that_was_replaced(secure_isp, homes, between):
    """The statement that named it was genuine, and is public; what it needs of the manager he may ask it for."""
    uci = secure_isp.add("carol")
    old = keys.parse(usign.split_embedded(secure_isp.statement())[1])
    stolen = keys.dump(replace(old, version=old.version - 1, authority=between.authority.pem))
    with between.answering("/keys$", saying(signed(stolen, secure_isp.catalogue_key))):
        refused(homes(uci), "does not show that these are the manager's newest keys")
    learned_nothing(between, code_of(uci), "/enroll/seal")
    secure_isp.relay.target = secure_isp.port
    homes(uci).start()
