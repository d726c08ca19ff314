"""Publications: the secret in the feed's path, and what of a service goes into the assignment."""

import pytest

from isdf.formats import assignment
from isdf_manager import authentication, catalogue, publications, signing


def publish(world) -> assignment.Assignment:
    world.clock.now += 1
    with world.store.write() as connection:
        world.published.make(connection, "home1", world.clock())
    return world.assigned()


def opened(world, secret: str) -> bool:
    with world.store.read() as connection:
        return authentication.feed_is_open(connection, "home1", secret)


def test_the_secret_of_the_feed_lasts_a_day(world):
    first = world.assigned().feed
    assert publish(world).feed == first
    world.clock.now += publications.FEED_LIFE
    assert publish(world).feed != first


def test_a_clock_that_was_set_back_makes_a_new_secret(world):
    first = world.assigned().feed
    world.clock.now -= 3600
    assert publish(world).feed != first


def test_the_secrets_of_the_kept_publications_open_the_feed_and_no_others(world):
    first = world.assigned().feed
    world.clock.now += publications.FEED_LIFE
    last = publish(world).feed
    assert opened(world, first)
    assert opened(world, last)
    for _ in range(publications.KEPT):
        publish(world)
    assert not opened(world, first)
    assert opened(world, last)
    assert not opened(world, "")
    assert not opened(world, "-" * 32)


@pytest.mark.parametrize(("line", "seconds"), [("", 14 * 86400), ("offline_grace: 2h\n", 7200)])
def test_the_assignment_says_how_long_a_service_goes_on_without_its_manager(world, manager, line, seconds):
    folder = manager.service("film")
    file = folder / "service.yaml"
    file.write_text(file.read_text() + line)
    catalogue.Catalogue(world.store, "test").publish(folder, signing.generate("catalogue"), world.clock())
    world.orders.subscribe("home1", "film", ["rate=1mbit"])
    assert [e.offline_grace for e in world.assigned().services] == [seconds]


@pytest.mark.parametrize("wrong", ["14", "soon", "''", "{}"])
def test_an_offline_grace_that_is_no_length_of_time_is_refused(manager, wrong):
    folder = manager.service("film")
    file = folder / "service.yaml"
    file.write_text(file.read_text() + f"offline_grace: {wrong}\n")
    assert "offline_grace" in manager.fails("publish", folder, status=2)
