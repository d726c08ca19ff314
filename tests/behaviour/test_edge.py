"""What is sold holds at the ISP's edge, whatever the customer does to the router."""

import pytest

from premises.host import wait_until

from . import router
from .measure import download, settle, speeds

pytestmark = pytest.mark.system
HEAD_ROOM = 1.02  # what the edge lets pass beyond what was sold
AGENT = "/etc/init.d/isdf-agent"


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


@pytest.fixture
def unshaped(home):
    """What a customer with a shell can do: end the agent, which would mend it, and take its queues away."""

    def without_shaper():
        home.router.run([AGENT, "stop"])
        wait_until(lambda: not home.router.find("isdf_agent.app"), 10, "the end of the agent")
        take_queues(home)

    yield without_shaper
    home.router.start_agent()


def take_queues(home):
    home.router.run(["tc", "qdisc", "del", "dev", router.WAN, "root"])
    for device in ("br-lan", "br-guest"):
        home.router.run(["tc", "qdisc", "del", "dev", device, "clsact"])


def test_without_the_router_s_shaper_a_home_gets_no_more_than_the_base(unshaped, both):
    unshaped()
    settle(3)
    assert sum(speeds(both, 5)) <= 150 * HEAD_ROOM


def test_without_the_router_s_shaper_a_home_gets_no_more_than_base_and_purchase(shop, home, unshaped, both):
    shop.buy(home)
    unshaped()
    settle(3)
    assert 250 < sum(speeds(both, 5)) <= 350 * HEAD_ROOM


def test_a_shaper_that_was_taken_away_is_back_by_itself(home):
    number = router.enforced(home)
    take_queues(home)

    def is_back():
        rates = [router.rate(home.router, number, device) for device in (router.IFB, router.WAN)]
        filters = [home.router.run(["tc", "filter", "show", "dev", d, "egress"]).stdout for d in ("br-lan", "br-guest")]
        return rates == [1600, 1600] and all(router.IFB in text for text in filters)

    wait_until(is_back, 5, "the shaper")


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
