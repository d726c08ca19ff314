"""The manager on PostgreSQL: from `init` to a report, and what several nodes do at once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import sqlalchemy as sa
import yaml

from isdf.errors import ConflictError
from isdf.formats import claim
from isdf_manager import enrolment, storage
from postgresql import Cluster

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def url(cluster):
    return cluster.url()


@pytest.fixture
def manager(manager, url):
    """A manager with the service `lane` published, whose database is PostgreSQL."""
    manager.path = manager.folder / "on-postgresql"
    manager.ok("init", "--url", "http://manager.example:8080", "--database", url)
    manager.ok("publish", manager.service())
    return manager


def test_the_tables_are_made_in_the_database_that_init_names(manager, url):
    assert yaml.safe_load((manager.path / "manager.yaml").read_text())["database"] == url
    assert not (manager.path / "manager.db").exists()
    engine = sa.create_engine(url)
    assert set(sa.inspect(engine).get_table_names()) == set(storage.schema.tables)
    engine.dispose()


def test_a_database_that_has_a_manager_is_left_as_it_is(manager, url):
    home, manager.path = manager.path, manager.folder / "second"
    said = manager.fails("init", "--database", url, status=2)
    assert "has a manager's tables already; name an empty one" in said
    assert not (manager.path / "keys").exists()
    manager.path = home
    assert "lane" in manager.ok("audit")


def test_the_environment_may_name_the_database(manager, cluster, monkeypatch):
    monkeypatch.setenv("ISDF_MANAGER_DATABASE", cluster.url())
    manager.path = manager.folder / "second"
    manager.ok("init")
    assert manager.ok("device", "list") == ""


def test_from_a_new_device_to_its_report(manager):
    listener = manager.listening()
    assert "running after" in manager.ok(
        "subscribe", "home1", "lane", "--config", "rate=200kBps", "sites=a.example", "--for", "2h"
    )
    assert listener.router.runs() == {"lane": {"rate": "200kBps", "sites": ["a.example"]}}
    assert "running after" in manager.ok("configure", "home1", "lane", "rate=400kBps")
    assert listener.router.runs()["lane"]["rate"] == "400kBps"
    manager.ok("publish", manager.service(version="1.0.1"))
    manager.ok("push", "home1")
    assert listener.router.assignment.services[0].version == "1.0.1"
    assert "lane     run     running  1.0.1" in manager.ok("status")
    listener.router.report(services=[{"name": "lane", "state": "failed", "log": "no\n", "exit": 3}], applied=False)
    assert manager.ok("device", "log", "home1", "lane").endswith("exit status 3\nno\n")
    manager.ok("keys", "rotate", "assignment")
    manager.ok("push", "home1")
    assert "ended after" in manager.ok("unsubscribe", "home1", "lane")
    assert manager.client().get("/health").json == {"status": "ok"}
    manager.ok("device", "remove", "home1")
    actions = [line.split("  ")[2] for line in manager.ok("audit").splitlines()]
    assert actions == [
        "publish", "device add", "enroll", "order", "subscribe", "configure", "publish", "keys rotate assignment",
        "unsubscribe", "withdrawn", "device remove",
    ]  # fmt: skip


def test_the_address_is_that_of_the_last_call(manager):
    router = manager.router()
    router.address = "2001:db8::7"
    router.pull()
    assert "2001:db8::7" in manager.ok("device", "show", "home1")
    assert not router.pull()


def test_a_backup_names_the_databases_own_tools(manager, tmp_path):
    assert "use the tools of the database" in manager.fails("backup", tmp_path / "copy", status=2)


def test_a_database_that_is_not_there_is_a_sentence_without_its_password(manager):
    manager.path = manager.folder / "second"
    said = manager.fails("init", "--database", "postgresql+psycopg://isdf:secret@/isdf?host=/nowhere")
    assert "cannot be used" in said
    assert "secret" not in said
    assert not (manager.path / "keys").exists()


def at_once(*works) -> list:
    """What each of `works` returned or raised, all begun together."""
    start, done = threading.Barrier(len(works)), [None] * len(works)

    def run(place, work):
        start.wait()
        try:
            done[place] = work()
        except Exception as error:
            done[place] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


@pytest.fixture
def world(tmp_path, manager, new_world, cluster):
    made = new_world(tmp_path, cluster.url())
    made.publish(manager.service())
    yield made
    made.store.close()


def test_of_many_orders_of_one_service_one_is_sold(world):
    done = at_once(*[lambda: world.orders.subscribe("home1", "lane", ["rate=1mbit"])] * 6)
    assert Counter(isinstance(one, ConflictError) for one in done) == {True: 5, False: 1}
    world.settle()
    assert len(world.core.holds) == len(world.assigned().services) == 1


def test_of_many_changes_none_is_lost_half_way(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"])
    rates = [f"{number}mbit" for number in range(2, 8)]
    done = at_once(*[lambda rate=rate: world.orders.configure("home1", "lane", [f"rate={rate}"]) for rate in rates])
    assert {type(one) for one in done if isinstance(one, Exception)} <= {ConflictError}
    (sold,) = world.assigned().services
    assert list(world.core.holds.values()) == [sold.config]


def test_two_who_settle_one_order_do_it_once(world):
    world.orders.subscribe("home1", "lane", ["rate=1mbit"], length=60)
    world.clock.now += 61
    done = at_once(*[world.settle] * 4)
    assert [one for one in done if one is not None] == []
    assert world.state() == "ended"


def test_publications_that_are_made_at_once_have_serials_of_their_own(world):
    def publish():
        with world.store.write() as connection:
            return world.published.make(connection, "home1", world.clock())

    serials = at_once(*[publish] * 6)
    assert len(set(serials)) == 6
    assert world.assigned().serial == max(serials)


def test_one_key_is_bound_of_many_that_show_the_code(world):
    token = claim.parse(world.code).token

    def show(key):
        with world.store.write() as connection:
            return enrolment.enroll(connection, token, key, world.clock()).device_key

    done = at_once(*[lambda number=number: show(bytes([number]) * 32) for number in range(6)])
    assert Counter(isinstance(one, enrolment.ClaimedError) for one in done) == {True: 5, False: 1}
