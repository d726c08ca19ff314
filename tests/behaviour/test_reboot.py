"""A router that loses power comes back with its pass by itself, without its manager."""

import pytest

from premises.host import wait_until

from . import router
from .measure import download, settle, speeds

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def home(shop):
    """Bought at 200 kB/s for an hour; then the power failed, and the manager was not there."""
    home = shop.home(4)
    shop.buy(home, "pay-per-site", "200kBps", "--for", "1h")
    router.enforced(home)
    shop.net.services_manager.stop()
    home.reboot()
    wait_until(lambda: home.router.run(["ubus", "-S", "list", "isdf"], check=False).returncode == 0, 20, "the agent")
    router.enforced(home)
    yield home
    shop.net.services_manager.start()
    shop.clear(home)


def test_the_pass_goes_on_until_its_end(home):
    def services():
        return router.status(home.router)["delivery"]["services"]

    # Its class is there before it is, from the ledger.
    wait_until(lambda: services()[0]["state"] != "starting", 20, "the service")
    (service,) = services()
    assert (service["name"], service["state"], service["error"]) == ("pay-per-site", "running", None)


def test_the_site_has_its_rate_and_the_rest_the_base(home):
    both = [download(home.client(1), "mirror-a"), download(home.client(2), "mirror-b")]
    settle(3)
    assert speeds(both, 10) == [pytest.approx(200, rel=0.07), pytest.approx(150, rel=0.07)]
    for transfer in both:
        transfer.stop()
