"""A flood does not reach the database, does not fill the log, and locks nobody out who can sign."""

import json
import os
from functools import partial

import pytest

from isdf.errors import LimitError, from_dict
from isdf_manager import limits, storage
from simulated_router import Router

PATH = "/device/home1/assignment"
BURST = 60  # refusals of one prefix at once


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch):
    """However long a test takes, no bucket fills meanwhile."""
    monkeypatch.setattr(limits, "Limits", partial(limits.Limits, clock=lambda: 1000.0))


@pytest.fixture
def router(manager):
    made = manager.router()
    made.pull()
    return made


@pytest.fixture
def reads(manager, router, monkeypatch):
    """What was looked up in the database since then."""
    made = []
    authentication = manager.applications[-1]._authentication
    find = authentication._device
    monkeypatch.setattr(authentication, "_device", lambda **values: made.append(values["name"]) or find(**values))
    return made


def forged(router, number, name="home1"):
    answers = [router.request("GET", f"/device/{name}/assignment", key=os.urandom(32)) for _ in range(number)]
    return [answer.status_code for answer in answers]


def test_what_is_forged_is_refused_without_a_look_after_some_time(router, reads):
    assert forged(router, BURST) == [401] * BURST
    assert len(reads) == BURST
    assert set(forged(router, 20)) == {429}
    assert set(forged(router, 20, "nobody")) == {429}
    assert len(reads) <= BURST + 2  # one a second


def test_who_is_refused_is_told_for_how_long(router):
    forged(router, BURST)
    answer = router.request("GET", PATH, key=os.urandom(32))
    assert (answer.status_code, answer.json["type"], answer.headers["Retry-After"]) == (429, "limit-reached", "10")
    assert isinstance(from_dict(answer.json), LimitError)


def test_a_flood_in_the_name_of_a_device_does_not_lock_it_out(router):
    """Not even from behind the same address."""
    forged(router, BURST + 20)
    assert router.request("GET", PATH).status_code == 200
    assert router.report().status_code == 204


def test_a_flood_does_not_keep_a_router_from_what_it_has_just_been_told_of(router, manager):
    """Its assignment says where its files are, which are as genuine as it is."""
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    forged(router, BURST + 20)
    assert router.pull()
    assert router.runs() == {"lane": {"rate": "1mbit"}}
    assert router.get(f"/feed/home1/{os.urandom(16).hex()}/Packages").status_code == 429
    router.etag = ""
    router.client = manager.client()
    assert router.get(f"{router.feed}/Packages").status_code == 200
    forged(router, BURST + 20)
    assert router.get(f"{router.feed}/Packages").status_code == 429  # it has not asked this process yet


def test_who_knows_the_secret_of_a_feed_asks_for_what_is_not_there_as_often_as_for_files(router, manager):
    manager.applications[-1]._limits.files = limits.Buckets(3, 5.0)
    answers = [router.get(f"{router.feed}/x{number}").status_code for number in range(5)]
    assert answers == [404, 404, 404, 429, 429]


def test_a_flood_does_not_keep_a_new_router_out(router, manager):
    forged(router, BURST + 20)
    told = manager.ok("device", "add", "home2")
    new = Router(told, router.client)
    assert new.request("GET", "/device/home2/assignment").status_code == 200


def test_a_flood_from_one_address_does_not_matter_to_others(router):
    router.address = "192.0.2.1"
    forged(router, BURST + 20)
    router.address = "192.0.2.2"
    assert forged(router, 1) == [401]


def test_a_network_of_ipv6_counts_as_one(router):
    router.address = "2001:db8:1:2::1"
    forged(router, BURST)
    router.address = "2001:db8:1:2:3:4:5:6"
    assert forged(router, 1) == [429]
    router.address = "2001:db8:1:3::1"
    assert forged(router, 1) == [401]


def test_a_device_that_asks_without_end_is_slowed_down_alone(router, manager):
    other = manager.router("home2")
    answers = [router.request("GET", PATH).status_code for _ in range(40)]
    assert answers[:25] == [200] * 25
    assert set(answers[32:]) == {429}
    other.client = router.client
    assert other.request("GET", "/device/home2/assignment").status_code == 200


def test_secrets_of_feeds_are_not_guessed_at_length(router, monkeypatch):
    answers = [router.get(f"/feed/home1/{os.urandom(16).hex()}/Packages").status_code for _ in range(BURST + 5)]
    assert answers[:BURST] == [404] * BURST
    monkeypatch.setattr(storage.Storage, "read", None)
    assert router.get(f"/feed/home1/{os.urandom(16).hex()}/Packages").status_code == 429


def test_files_are_not_fetched_without_end(router, manager):
    manager.applications[-1]._limits.files = limits.Buckets(3, 5.0)
    answers = [router.get(f"{router.feed}/Packages").status_code for _ in range(5)]
    assert answers == [200, 200, 200, 429, 429]


def test_claim_codes_are_not_guessed_at_length(router, monkeypatch):
    body = json.dumps({"token": "00" * 10, "key": "00" * 32}).encode()
    router.address = "192.0.2.7"  # its own enrolment was one, too
    answers = [router.request("POST", "/enroll", body, signed=False).status_code for _ in range(BURST + 1)]
    assert answers == [403] * BURST + [429]
    monkeypatch.setattr(storage.Storage, "read", None)
    assert router.request("POST", "/enroll", body, signed=False).status_code == 429


def test_a_flood_does_not_fill_the_log(router, manager):
    before = len(manager.log.getvalue().splitlines())
    forged(router, BURST + 40)
    router.request("GET", PATH)
    lines = [json.loads(line) for line in manager.log.getvalue().splitlines()][before:]
    assert BURST < len(lines) <= BURST + 3
    assert sum(line.get("skipped", 0) for line in lines) + len(lines) == BURST + 41
