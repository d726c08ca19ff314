"""Any process may be killed with -9 at any time: the line goes on as it was, and what is killed comes back into it."""

import os
import signal
import threading
from contextlib import contextmanager

import pytest

from openwrt.programs import program
from premises.host import wait_until

from . import router
from .measure import download, no_packet_lost, settle, speeds

pytestmark = [pytest.mark.system, pytest.mark.alone]
AGENT, SERVICE, WORKER = "isdf_agent.app", "isdf.sdk", "dataplane.link_worker"


@pytest.fixture(scope="module")
def home(shop):
    """A home with the service at 200 kB/s, whose queues stand at home."""
    home = shop.home(9)
    shop.wide_edge(home)
    shop.buy(home)
    router.enforced(home)
    yield home
    shop.clear(home)


@pytest.fixture
def untouched(home):
    """Asserts that a test changed nothing of the kernel's state, not even by making it again as it was."""

    @contextmanager
    def watch():
        number = router.enforced(home)
        before = router.rules(home.router, handles=True), router.qdiscs(home.router), router.leases(home.router)
        carried, sent = router.carried(home.router), router.sent(home.router)
        with no_packet_lost(home), router.every_packet_in_its_class(home, number):
            yield
        after = router.rules(home.router, handles=True), router.qdiscs(home.router), router.leases(home.router)
        assert after == before
        now = router.carried(home.router)
        assert all(now[name] > packets for name, packets in carried.items())
        now = router.sent(home.router)
        assert all(now[name] >= size for name, size in sent.items())

    return watch


def process(home, words):
    """The one process of the router with such a command line."""
    found = home.router.find(words)
    return found[0] if len(found) == 1 else None


def killed(home, words):
    """Kills it, and waits for the next one."""
    before = wait_until(lambda: process(home, words), 10, words)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: process(home, words) not in (None, before), 10, f"another {words}")


def on_the_bus(home):
    return home.router.run(["ubus", "-S", "call", "isdf", "status"], check=False).returncode == 0


def listed(home):
    return home.router.ubus("call", "isdf.service", "list")["services"]["pay-per-site"]


def obeys(shop, home):
    """Whether the home still does what the operator says."""
    rate = "300kBps" if router.rate(home.router, router.enforced(home)) != 2400 else "200kBps"
    shop.configure(home, f"rate={rate}")
    return router.rate(home.router, router.enforced(home)) == int(rate[:3]) * 8


def test_traffic_goes_on_as_shaped_while_there_is_no_agent(home, shop):
    home.router.run(["/etc/init.d/isdf-agent", "stop"])
    wait_until(lambda: not home.router.find(AGENT), 10, "the end of the agent")
    both = [download(home.client(1), "mirror-a"), download(home.client(2), "mirror-b")]
    settle(3)
    assert speeds(both, 10) == [pytest.approx(200, rel=0.07), pytest.approx(150, rel=0.07)]
    home.router.start_agent()
    assert not any(t.broken for t in both)
    for transfer in both:
        transfer.stop()
    assert router.classes(home.router)


def test_an_agent_that_was_killed_is_started_again_and_takes_over(shop, home, untouched):
    service = router.service_pid(home.router, "pay-per-site")
    with untouched():
        killed(home, AGENT)
        wait_until(lambda: on_the_bus(home) and router.classes(home.router), 10, "the agent")
    assert router.service_pid(home.router, "pay-per-site") == service
    assert obeys(shop, home)


def test_a_service_that_was_killed_is_started_again_and_keeps_its_leases(shop, home, untouched):
    with untouched():
        before = router.service_pid(home.router, "pay-per-site")
        killed(home, SERVICE)
        wait_until(lambda: router.service_pid(home.router, "pay-per-site") not in (None, before), 10, "the service")
        wait_until(lambda: listed(home)["error"] is None, 15, "the service to be ready")
    assert listed(home)["state"] == "running"
    assert obeys(shop, home)


def test_a_bus_that_was_killed_leaves_all_as_it_was(shop, home, untouched):
    agent, service = process(home, AGENT), process(home, SERVICE)
    with untouched():
        killed(home, program("ubusd")[-1])
        wait_until(lambda: on_the_bus(home), 15, "the agent on the new bus")
    assert (process(home, AGENT), process(home, SERVICE)) == (agent, service)
    assert obeys(shop, home)


def test_a_manager_that_was_killed_is_not_missed_and_sells_again_when_it_is_back(shop, home, untouched):
    manager = shop.net.services_manager
    with untouched():
        for pid in shop.net.manager.find("isdf_manager.cli"):
            os.kill(pid, signal.SIGKILL)
        manager.server.wait(10)
        manager.start()
    assert obeys(shop, home)


def test_a_link_worker_that_is_killed_in_the_middle_is_replaced(shop, home):
    home.router.kill(WORKER)  # one that is idle still
    wait_until(lambda: not home.router.find(WORKER), 10, "the end of the idle link worker")
    killed_one = threading.Event()

    def kill():
        os.kill(wait_until(lambda: home.router.find(WORKER), 20, "a link worker")[0], signal.SIGKILL)
        killed_one.set()

    killer = threading.Thread(target=kill)
    killer.start()
    with no_packet_lost(home):
        done = obeys(shop, home)
    killer.join()
    assert killed_one.is_set()
    assert done


def test_a_reload_of_the_firewall_moves_no_packet_out_of_its_class(home):
    number = router.enforced(home)
    looks = [["nft", "-a", "-s", "list", "table", "inet", "isdf"], ["tc", "qdisc", "show", "dev", "wan"]]
    before = [home.router.run(look).stdout for look in looks]
    with no_packet_lost(home), router.every_packet_in_its_class(home, number):
        home.router.fw4("reload")
    assert [home.router.run(look).stdout for look in looks] == before


def test_what_somebody_takes_of_rules_and_queues_is_back_in_five_seconds_and_breaks_no_connection(home):
    number, rate = router.enforced(home), router.rate(home.router, router.enforced(home))
    both = [download(home.client(1), "mirror-a"), download(home.client(2), "mirror-b")]
    settle(2)
    home.router.run(["sh", "-ec", "nft delete table inet isdf; ip link del ifb-isdf; tc qdisc del dev wan root"])

    def is_back():
        return "table inet isdf " in router.rules(home.router) and router.rate(home.router, number) == rate

    wait_until(is_back, 5, "rules and queues")
    settle(3)
    assert speeds(both, 10) == [pytest.approx(rate / 8, rel=0.07), pytest.approx(150, rel=0.07)]
    assert not any(transfer.broken for transfer in both)
    for transfer in both:
        transfer.stop()
