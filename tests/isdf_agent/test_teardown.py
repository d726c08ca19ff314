"""The end of the package: nothing of an agent stays, and one that still runs is not worked against."""

import sys
import threading

import pytest

from isdf.errors import FailedError
from isdf.ubus import Method
from isdf_agent.bus import end_all
from openwrt.fixtures import connect, loop, own_bus, until

__all__ = ["connect", "loop", "own_bus", "until"]
pytestmark = pytest.mark.system


def everything(home):
    return home.router.run("nft list ruleset; ip -o link; tc qdisc show; tc filter show dev br-lan egress")


def test_nothing_that_an_agent_made_stays_on_whatever_device(home, tmp_path):
    others = "tc filter add dev guest ingress protocol ip u32 match u32 0 0 classid 1:"
    home.router.run(f"tc qdisc add dev guest clsact; {others}")
    before = everything(home)
    agent = home.agent()
    agent("add_class", "pay", "sites", "200kBps")
    agent("add_class_member", "pay", "sites", {"remote": "198.51.100.1"})
    agent("add_class_member", "pay", "sites", {"host": "*.cdn.example"})
    agent.kill()
    home.router.run("ip link set wan down; ip link set wan name access")
    run = tmp_path / "var/run/isdf"
    run.mkdir(parents=True)
    (run / "ledger.json").touch()
    words = [sys.executable, "-m", "isdf_agent.app", "--root", str(tmp_path), "teardown"]
    assert home.router.run(" ".join(words)) == (
        "what iSDF made of this router's queues and rules is gone, and so are its services\n"
    )
    home.router.run("ip link set access name wan; ip link set wan up")
    assert everything(home) == before
    assert not run.exists()
    home.router.run(" ".join(words))


@pytest.fixture
def ending(own_bus):
    """A program that ends all, beside the loop; `ending.is_alive()` until it has."""
    thread = threading.Thread(target=end_all, args=(own_bus.socket,), daemon=True)
    yield thread
    thread.join(5)
    assert not thread.is_alive()


def test_services_end_and_those_of_others_do_not(own_bus, connect, until, ending):
    names = ["isdf-service-tv", "dnsmasq", "isdf-agent", "isdf-service-pay"]
    listing = Method(lambda request: {name: {} for name in names})
    connect(own_bus).add(
        "service", {"list": listing, "delete": Method(lambda request: names.remove(request.args["name"]))}
    )
    ending.start()
    until(lambda: not ending.is_alive())
    assert names == ["dnsmasq", "isdf-agent"]


def test_an_agent_that_is_ending_is_waited_for(own_bus, connect, until, ending):
    asked = []
    bus = connect(own_bus)
    agent = bus.add("isdf", {})
    bus.add("service", {"list": Method(lambda request: asked.append(True) or {})})
    ending.start()
    until(lambda: ending.is_alive())
    assert asked == []
    agent.remove()
    until(lambda: not ending.is_alive())
    assert asked == [True]


def test_an_agent_that_runs_on_is_told_of(own_bus, connect):
    connect(own_bus).add("isdf", {})
    with pytest.raises(FailedError, match="isdf-agent runs; end it first"):
        end_all(own_bus.socket, patience=0.1)
