"""The catalogue: what is sold goes before a new version, and damage is noticed before anybody gets it."""

import json
import logging
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def router(manager):
    made = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "sites=a.example", "--no-push")
    made.pull()
    return made


def version(manager, number: str, before: str, after: str):
    """The folder of a version whose schema is another one."""
    folder = manager.service(version=number)
    file = folder / "service.yaml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    return folder


def test_a_version_that_does_not_take_what_is_sold_is_refused_with_the_devices(manager, router):
    folder = version(manager, "2.0.0", "    sites: {type", "    hosts: {type")
    said = manager.fails("publish", folder)
    assert said.startswith("lane 2.0.0 does not take the configuration of home1 (the configuration has no key 'sites';")
    assert said.endswith("configure or unsubscribe them first")
    manager.ok("configure", "home1", "lane", "sites=", "--no-push")
    manager.ok("publish", folder)
    router.pull()
    assert router.assignment.services[0].version == "2.0.0"


def test_at_most_five_devices_are_named(manager):
    for number in range(1, 8):
        manager.ok("device", "add", f"home{number}")
        manager.ok("subscribe", f"home{number}", "lane", "--config", "rate=1mbit", "sites=a.example", "--no-push")
    said = manager.fails("publish", version(manager, "2.0.0", "maxItems: 4", "minItems: 2"))
    assert "of home1, home2, home3, home4, home5 and 2 more ('sites' has 1 items" in said


def test_what_is_not_sold_any_more_refuses_nothing(manager, router):
    manager.ok("unsubscribe", "home1", "lane", "--no-push")
    manager.ok("publish", version(manager, "2.0.0", "    sites: {type", "    hosts: {type"))


def test_a_new_key_with_a_default_reaches_who_has_the_service(manager, router):
    before = "required: [rate]\n  properties:\n"
    after = "required: [rate, burst]\n  properties:\n    burst: {type: integer}\n"
    assert "'burst' is missing" in manager.fails("publish", version(manager, "2.0.0", before, after))
    with_default = after.replace("type: integer", "type: integer, default: 7")
    manager.ok("publish", version(manager, "2.0.0", before, with_default))
    router.pull()
    assert router.runs() == {"lane": {"rate": "1mbit", "sites": ["a.example"], "burst": 7}}


def damage(manager) -> None:
    with closing(sqlite3.connect(manager.path / "manager.db")) as connection:
        (data,) = connection.execute("select data from package").fetchone()
        connection.execute("update package set data = ?", [data[:-1] + bytes([data[-1] ^ 1])])
        connection.commit()


def test_a_damaged_package_is_not_served(manager, router, caplog):
    damage(manager)
    index = router.assignment.index_sha256
    with caplog.at_level(logging.ERROR):
        answer = router.get(f"{router.feed}/{index}/isdf-service-lane_1.0.0_all.ipk")
    assert answer.status_code == 500
    assert "the package of lane 1.0.0 is damaged in the database" in caplog.text
    assert "damaged" not in answer.text


def test_a_damaged_package_is_not_published_to_anybody(manager, router):
    damage(manager)
    said = manager.fails("configure", "home1", "lane", "rate=2mbit")
    assert "the package of lane 1.0.0 is damaged" in said
    assert "publish a higher version" in said
    status = json.loads(manager.ok("status", "--json"))["devices"][0]
    assert status["services"][0]["configuration"]["rate"] == "1mbit"
    assert not router.pull()


def test_a_damaged_package_is_mended_by_its_folder(manager, router):
    damage(manager)
    assert "published lane 1.0.0" in manager.ok("publish", manager.service())
    assert "is published already, with the same content" in manager.ok("publish", manager.service())
    router.fetch()
    assert "  mend  lane  " in manager.ok("audit")


def test_another_folder_does_not_mend_it(manager, router):
    damage(manager)
    said = manager.fails("publish", manager.service(code="print()\n"))
    assert "lane 1.0.0 is damaged in the database, and this folder does not make the same bytes" in said
    manager.ok("publish", manager.service(version="1.0.1"))
    router.pull()
    assert router.assignment.services[0].version == "1.0.1"


def test_the_same_name_as_a_users_is_one_that_openwrt_finds(manager):
    for name in ("la.ne", "la_ne", "1lane", "x" * 28):
        folder = manager.service("other")
        text = (folder / "service.yaml").read_text()
        (folder / "service.yaml").write_text(text.replace("name: other", f"name: {name}"))
        assert f"'name': service {name!r} is not 1 to 27 of a-z" in manager.fails("publish", folder, status=2)
