"""Feeds that are another customer's, of another day, or somebody's own."""

import hashlib

import pytest
from simulator import make_key, sign

from attacks.forgery import Thief, flipped, package
from attacks.relay import Relay, changing, saying
from isdf.formats import opkg_index
from openwrt.programs import program

pytestmark = pytest.mark.system
attack = pytest.mark.attack
INDEX, SIGNATURE = r"/Packages$", r"/Packages\.sig$"
OTHER = "the package index is not the one that the assignment names"
STRANGER = "the package index is not signed by the assignment key"


@pytest.fixture
def refuses(isp, home):
    """`refuses(words, {path: fault})`: the home refuses a new version while these answer, and takes it afterwards."""

    def try_it(words, faults):
        version = isp.publish()
        with isp.relay.answering_all(faults):
            home.refuses(words)
        home.takes(tv=version)

    return try_it


@attack("index-by-another-key")
def test_an_index_signed_by_another_key(isp, refuses):
    def forge(exchange):
        index = isp.publication("home1").packages
        exchange.answer(200, sign(index, make_key(9)).dump().encode())

    refuses(STRANGER, {SIGNATURE: forge})


@attack("index-of-another-customer")
def test_the_index_of_the_neighbour(isp, refuses):
    isp.publish("x")  # a longer index than ours would not even be fetched to its end
    isp.add("home3")
    isp.sell("home3", "x")
    theirs = isp.publication("home3")
    refuses(OTHER, {INDEX: saying(theirs.packages), SIGNATURE: saying(theirs.signature)})


@attack("index-older-and-signed")
def test_an_index_of_yesterday(isp, refuses):
    isp.publish()
    old = isp.publication("home1")
    refuses(OTHER, {INDEX: saying(old.packages), SIGNATURE: saying(old.signature)})


@attack("index-new-with-an-old-package")
def test_a_package_of_yesterday_under_the_name_of_today(home, refuses):
    old = home.package("tv")
    refuses(r"isdf-service-tv_1\.0\.\d+_all\.ipk|is longer than \d+ bytes", {r"\.ipk$": saying(old)})


@attack("package-changed-by-one-byte")
def test_a_package_of_which_a_byte_is_changed(refuses):
    refuses(r"isdf-service-tv_1\.0\.\d+_all\.ipk", {r"\.ipk$": changing(lambda data: flipped(data, 700))})


@attack("index-without-a-hash")
def test_a_signed_index_without_hashes(isp, home):
    thief = Thief(isp, home)
    thief.subscribe("film", data=package("1.0.0"))
    honest = thief.packages_file()
    thief.index = b"".join(line for line in honest.splitlines(True) if not line.startswith(b"SHA256sum"))
    with thief.answering():
        home.refuses("the package index says SHA256sum None of isdf-service-")
    thief.index = honest
    with thief.answering():
        home.takes(film="1.0.0")


@attack("higher-version-in-another-feed")
def test_a_higher_version_in_another_feed_that_the_router_knows(isp, home, tmp_path):
    evil = Relay(("127.0.0.1", 1))
    data = package("9.9.9").replace(b"film", b"tv")
    control = {"Package": "isdf-service-tv", "Version": "9.9.9", "Architecture": "all"}
    index = opkg_index.dump([opkg_index.entry(control, "tv.ipk", len(data), hashlib.sha256(data).hexdigest())])
    own = home.root / "etc/opkg/customfeeds.conf"
    own.write_text(f"dest root /\nlists_dir ext /var/lists\narch all 1\nsrc evil {evil.url}\n")
    try:
        with evil.answering("/Packages$", saying(index)), evil.answering("ipk$", saying(data)):
            version = isp.publish()
            home.takes(tv=version)
            assert evil.seen == []
            # The feed itself is a good one: who asks opkg, with that configuration, is offered its version.
            words = [*program("opkg"), "-f", own, "-o", home.root]
            home.run([*words, "update"])
            assert "9.9.9" in home.run([*words, "list", "isdf-service-tv"])
            assert evil.seen != []
            home.takes(tv=isp.publish())
    finally:
        own.unlink()
        evil.close()
