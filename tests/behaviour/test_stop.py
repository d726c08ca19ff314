"""A customer stops a service: it stays stopped through an upgrade, a new configuration and a power cut."""

import json

import pytest

from premises.host import wait_until

from . import router

pytestmark = pytest.mark.system
NAME = "resting"


def listed(home):
    return home.router.ubus("call", "isdf.service", "list")["services"].get(NAME, {})


@pytest.fixture(scope="module")
def home(shop):
    """Bought, stopped, upgraded, configured; then the power failed."""
    home = shop.home(4)
    shop.publish(NAME)
    shop.buy(home, NAME)
    home.router.ubus("call", "isdf.service", "stop", json.dumps({"service": NAME}))
    shop.publish(NAME, "1.1.0")
    shop.net.operator(["configure", home.name, NAME, "rate=100kBps", "--no-push"])
    home.router.ubus("call", "isdf", "pull")
    wait_until(lambda: listed(home).get("version") == "1.1.0", 20, "the upgrade")
    home.reboot()
    wait_until(lambda: home.router.run(["ubus", "-S", "list", "isdf.service"], check=False).returncode == 0, 20, "it")
    wait_until(lambda: listed(home), 20, "its first settle")
    yield home
    shop.clear(home, NAME)


def test_it_does_not_run_and_is_kept_up_to_date(shop, home):
    assert (listed(home)["version"], listed(home)["state"]) == ("1.1.0", "stopped")
    assert router.service_pid(home.router, NAME) is None
    assert NAME not in router.classes(home.router)
    assert "Version: 1.1.0" in home.router.read("/usr/lib/opkg/status").split(f"Package: isdf-service-{NAME}\n")[1]


def test_the_operator_sees_that_it_is_stopped(shop, home):
    def told():
        lines = shop.net.operator(["status"]).stdout.splitlines()
        return any(f" {NAME} " in line and " stopped " in line for line in lines if home.name in line)

    wait_until(told, 20, "the report")


def test_the_customer_starts_it_again_with_what_is_new(home):
    home.router.ubus("call", "isdf.service", "start", json.dumps({"service": NAME}))
    assert listed(home)["state"] == "running"
    assert router.rate(home.router, router.enforced(home, NAME)) == 800
