"""A purchase changes the line and nothing else: no packet is lost to it nor to its end, and its end leaves nothing."""

import ipaddress
import json

import pytest

from premises.host import wait_until
from premises.plan import MANAGER

from . import router
from .measure import no_packet_lost

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def home(shop):
    home = shop.home(5)
    shop.wide_edge(home)
    return home


def test_neither_purchase_nor_change_nor_end_loses_a_packet(shop, home):
    with no_packet_lost(home):
        shop.buy(home)
        shop.configure(home, "rate=400kBps")
        shop.end(home)
    assert router.classes(home.router) == {}


@pytest.fixture
def neighbour(shop):
    """A home in which another service runs, with a class for mirror B; it came without a push, which home 6 needs."""
    home = shop.home(6)
    shop.publish("neighbour")
    words = ["neighbour", "--config", "sites=mirror-b.example", "rate=100kBps"]
    shop.net.operator(["subscribe", home.name, *words, "--no-push"])
    home.router.ubus("call", "isdf", "pull")
    router.enforced(home, "neighbour")
    wait_until(lambda: running(home).get("neighbour"), 15, "the neighbour")
    yield home
    shop.clear(home, "neighbour")


def running(home):
    listed = home.router.ubus("call", "isdf.service", "list")["services"]
    return {name: told["state"] == "running" for name, told in listed.items()}


def test_the_end_removes_every_rule_that_the_service_made_and_nothing_else(shop, neighbour):
    home = neighbour
    looks = (router.rules, router.queues, router.routes, router.leases)
    before, process = [look(home.router) for look in looks], router.service_pid(home.router, "neighbour")
    number, carried = router.enforced(home, "neighbour"), router.carried(home.router)
    shop.buy(home)
    for at, look in enumerate(looks[:2]):
        assert look(home.router) != before[at]
    assert router.rate(home.router, number) == 800
    shop.end(home)
    # What was queued in the class runs empty first.
    wait_until(lambda: router.queues(home.router) == before[1], 5, "the end of the class's queues")
    assert [look(home.router) for look in looks] == before
    assert router.service_pid(home.router, "neighbour") == process
    later = router.carried(home.router)
    assert all(later[name] >= packets for name, packets in carried.items()), "what it counted began anew"
    assert router.rate(home.router, number) == 800


def test_a_home_that_reaches_its_manager_by_ipv6_alone_buys_in_the_same_way(shop):
    home = shop.home(2)
    assert home.router.run(["ping", "-c1", "-W1", MANAGER[0]], check=False).returncode != 0
    shop.buy(home)
    device = json.loads(shop.net.operator(["status", home.name, "--json"]).stdout)["devices"][0]
    assert ipaddress.ip_address(device["address"]).version == 6
    assert router.rate(home.router, router.enforced(home)) == 1600
    shop.end(home)
    assert router.classes(home.router) == {}
