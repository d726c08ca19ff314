"""Keys statements: how an enrolled router learns of new keys, and of which ones it does not."""

import pytest
from simulator import make_key

from attacks.forgery import signed
from attacks.relay import saying
from isdf.formats import keys, usign
from isdf.value import replace

pytestmark = pytest.mark.system
attack = pytest.mark.attack


@pytest.fixture
def refuses(isp, home):
    """`refuses(statement, words)`: the home refuses a statement that is offered as a newer one; a true one is taken."""

    def tell(exchange):
        got = exchange.forward()
        exchange.answer(got.status, got.body, **got.headers | {"isdf-keys": str(10**15)})

    def try_it(statement, words):
        version = isp.publish()
        faults = {"^/device/home1/assignment$": tell, "^/keys$": saying(statement)}
        with isp.relay.answering_all(faults):
            home.refuses(words)
        isp.desk("keys", "rotate", "assignment")
        home.takes(tv=version)
        assert (home.root / "etc/isdf/keys").read_bytes() == isp.statement()

    return try_it


def renamed(isp, key, **fields) -> bytes:
    """The statement in force with other fields, signed by `key`."""
    last = keys.parse(usign.split_embedded(isp.statement())[1])
    return signed(keys.dump(replace(last, **{"version": last.version + 1, **fields})), key)


@attack("keys-by-the-assignment-key")
def test_a_statement_by_whoever_stole_the_assignment_key(isp, refuses):
    refuses(renamed(isp, isp.assignment_key), "is not signed by the catalogue key that it names")


@attack("keys-of-another-catalogue-key")
def test_a_statement_by_a_catalogue_key_of_ones_own(isp, refuses):
    own = make_key(7)
    line = own.public_key().line
    refuses(renamed(isp, own, catalogue_key=line), "names another catalogue key than this router's")


@attack("keys-of-an-older-version")
def test_the_statement_of_before_a_rotation(isp, home, refuses):
    stolen = isp.statement()
    isp.desk("keys", "rotate", "assignment")
    home.takes(tv=isp.publish())
    refuses(stolen, r"the keys statement's version \d+ is not higher than \d+")


@attack("keys-of-the-same-version")
def test_another_statement_of_the_version_in_force(isp, refuses):
    version = keys.parse(usign.split_embedded(isp.statement())[1]).version
    own = make_key(7).public_key().line
    other = renamed(isp, isp.catalogue_key, version=version, assignment_key=own)
    refuses(other, rf"the keys statement's version {version} is not higher than {version}")
