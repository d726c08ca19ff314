"""A new version replaces the old one without a gap: not one packet of the site is outside its class meanwhile."""

import pytest

from . import router
from .measure import no_packet_lost

pytestmark = pytest.mark.system
FAILS = """
from isdf.sdk import Service

class Fails(Service):
    def configure(self, **config):
        self.control.add_class("sites", rate="900kBps")
        raise RuntimeError("this version cannot be")
"""
EXITS = "raise SystemExit(3)\n"


@pytest.fixture(scope="module")
def home(shop):
    """A home with version 1.0.0 of the service `lane`, at 200 kB/s."""
    home = shop.home(7)
    shop.wide_edge(home)
    shop.publish("lane")
    shop.buy(home, "lane")
    yield home
    shop.clear(home, "lane")


def version(home):
    return home.router.ubus("call", "isdf.service", "list")["services"]["lane"]


def test_a_new_version_takes_over_without_a_gap(shop, home):
    number, before = router.enforced(home, "lane"), router.service_pid(home.router, "lane")
    shop.publish("lane", "1.1.0")
    with no_packet_lost(home), router.every_packet_in_its_class(home, number):
        shop.net.operator(["push", home.name])
    assert (version(home)["version"], version(home)["state"]) == ("1.1.0", "running")
    assert router.service_pid(home.router, "lane") != before
    assert router.enforced(home, "lane") == number


@pytest.mark.parametrize(("number", "code"), [("1.2.0", FAILS), ("1.3.0", EXITS)], ids=["an error", "an exit"])
def test_a_version_that_does_not_start_gives_way_to_the_one_before_without_a_gap(shop, home, number, code):
    in_kernel = router.enforced(home, "lane")
    shop.publish("lane", number, code)
    with no_packet_lost(home), router.every_packet_in_its_class(home, in_kernel):
        pushed = shop.net.operator(["push", home.name], check=False)
    assert pushed.returncode == 1
    assert f"{number} does not start, 1.1.0 runs on" in pushed.stderr
    assert (version(home)["version"], version(home)["state"]) == ("1.1.0", "running")
    assert router.rate(home.router, in_kernel) == 1600
