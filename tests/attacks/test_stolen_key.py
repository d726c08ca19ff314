"""Who has stolen the assignment key can choose among published services, and bring nothing of his own."""

import json

import pytest
from simulator import sign

from attacks.forgery import Thief, member, package
from isdf.formats import assignment as wire
from isdf.formats import ipk

pytestmark = pytest.mark.system
attack = pytest.mark.attack
UNSIGNED = r"isdf-service-film 1\.0\.\d is not signed by the catalogue key"


@pytest.fixture
def thief(isp, home):
    return Thief(isp, home)


@attack("package-never-signed")
def test_code_that_the_catalogue_key_never_signed(thief, home):
    honest, thief.catalogue_key = thief.catalogue_key, thief.assignment_key
    thief.subscribe("film", data=package("1.0.0"))
    with thief.answering():
        home.refuses(UNSIGNED)
    thief.catalogue_key = honest
    thief.subscribe("film", data=package("1.0.0"))
    with thief.answering():
        home.takes(film="1.0.0")


@attack("package-with-wider-limits")
def test_a_published_service_that_may_do_more_than_it_was_published_with(isp, thief, home):
    """Its number, its file's name and its catalogue signature are those of the published one."""
    published = package("1.0.1")
    entry = thief.subscribe("film", "1.0.1", data=published)
    may = json.dumps({"may": {"add_class": {"max": 1000}}}).encode()
    files = [
        ipk.File(file.path, file.mode, may) if file.path.endswith("/service.json") else file
        for file in ipk.read(published).files
    ]
    control = {k: v for k, v in ipk.read(published).control.items() if k != "Installed-Size"}
    thief.subscribe("film", "1.0.1", data=ipk.build(control, files), signature=entry.signature)
    with thief.answering():
        home.refuses(UNSIGNED)
    thief.subscribe("film", "1.0.1", data=published)
    with thief.answering():
        home.takes(film="1.0.1")


@attack("package-under-anothers-signature")
def test_the_code_of_one_service_under_the_name_and_signature_of_another(thief, home):
    game = package("1.0.2", member("./usr/lib/isdf/services/film/game.py"))
    signature = sign(wire.catalogue_message("isdf-service-game", "1.0.2", len(game), "0" * 64), thief.catalogue_key)
    thief.subscribe("film", "1.0.2", data=game, signature=signature.line)
    with thief.answering():
        home.refuses(UNSIGNED)
    thief.subscribe("film", "1.0.2", data=game)
    with thief.answering():
        home.takes(film="1.0.2")
