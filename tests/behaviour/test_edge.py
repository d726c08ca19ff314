"""What is sold holds at the ISP's edge, whatever the customer does to the router."""

import pytest

from . import router
from .measure import download, settle, speeds

pytestmark = pytest.mark.system
HEAD_ROOM = 1.02  # what the edge lets pass beyond what was sold


@pytest.fixture
def both(home):
    """Downloads from both mirrors."""
    transfers = [download(home.client(1), "mirror-a"), download(home.client(2), "mirror-b")]
    yield transfers
    for transfer in transfers:
        transfer.stop()


@pytest.fixture(scope="module")
def home(shop):
    return shop.home(8)


def without_shaper(home):
    """What a customer with a shell can do; where it was done before there is nothing left to delete."""
    home.router.run(["tc", "qdisc", "del", "dev", router.WAN, "root"], check=False)
    for device in ("br-lan", "br-guest"):
        home.router.run(["tc", "qdisc", "del", "dev", device, "clsact"], check=False)


def test_without_the_router_s_shaper_a_home_gets_no_more_than_the_base(home, both):
    without_shaper(home)
    settle(3)
    assert sum(speeds(both, 5)) <= 150 * HEAD_ROOM


def test_without_the_router_s_shaper_a_home_gets_no_more_than_base_and_purchase(shop, home, both):
    shop.buy(home)
    without_shaper(home)
    settle(3)
    assert 250 < sum(speeds(both, 5)) <= 350 * HEAD_ROOM


def test_the_next_change_brings_the_shaper_back(shop, home):
    without_shaper(home)
    shop.configure(home, "rate=300kBps")
    number = router.enforced(home)
    assert (router.rate(home.router, number), router.rate(home.router, number, router.WAN)) == (2400, 2400)
    redirected = [home.router.run(["tc", "filter", "show", "dev", d, "egress"]).stdout for d in ("br-lan", "br-guest")]
    assert all(router.IFB in text for text in redirected)


def test_a_purchase_that_the_edge_was_not_told_has_no_effect_at_the_client(shop):
    """`unhooked` is pay-per-site without a provision hook in the manager's configuration."""
    home = shop.home(1)
    shop.publish("unhooked")
    transfers = [download(home.client(1), "mirror-a"), download(home.client(2), "mirror-b")]
    settle(3)
    before = sum(speeds(transfers, 4))
    shop.buy(home, "unhooked")
    assert router.rate(home.router, router.enforced(home, "unhooked")) == 1600
    settle(2)
    assert sum(speeds(transfers, 4)) == pytest.approx(before, rel=0.1)
    for transfer in transfers:
        transfer.stop()
    shop.clear(home, "unhooked")
