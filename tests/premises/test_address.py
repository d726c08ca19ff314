"""A router whose address changes: its manager knows at once where to push."""

import pytest

from premises.host import wait_until
from premises.premises import Premises

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def net():
    with Premises(homes=1) as net:
        net.start_manager(hooks=())
        net.add_device(net.home(1))
        net.home(1).router.start_agent()
        wait_until(lambda: net.is_known(net.home(1)), 20, "the first pull of home 1")
        yield net


def known(net) -> str:
    """The address that the manager has of home 1."""
    shown = net.operator(["device", "show", "home1"]).stdout
    return next(line.split()[1] for line in shown.splitlines() if line.startswith("address:"))


def event(router) -> None:
    """What procd runs when netifd tells of an interface."""
    script = router.read("/etc/init.d/isdf-agent").splitlines()
    trigger = next(line for line in script if "procd_add_raw_trigger" in line)
    router.run(trigger.split()[3:])


def pulls(net) -> int:
    return net.manager.read("/var/log/manager.log").count("/assignment")


def test_another_address_is_known_at_once_and_pushed_to(net):
    router = net.home(1).router
    before, other = known(net), "203.0.113.99"
    assert before == net.home(1).plan.wan[0]
    net.edge.run(["ip", "route", "add", other, "dev", "home1"])
    router.run(["ip", "address", "add", f"{other}/32", "dev", "wan"])
    router.run(["ip", "address", "del", f"{before}/32", "dev", "wan"])
    event(router)
    wait_until(lambda: known(net) == other, 10, "the new address at the manager")
    seen = pulls(net)
    net.operator(["push", "home1"])
    assert pulls(net) > seen


def test_an_event_without_a_change_costs_no_pull(net):
    router = net.home(1).router
    wait_until(lambda: router.ubus("call", "isdf", "status")["delivery"]["last_contact"], 10, "a pull")
    seen = pulls(net)
    for _ in range(3):
        event(router)
    router.run(["ubus", "call", "isdf", "pull"])
    wait_until(lambda: pulls(net) > seen, 10, "the pull by hand")
    assert pulls(net) == seen + 1
