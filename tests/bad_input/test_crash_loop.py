"""A service that comes up and then crashes, again and again: given up, told, and nothing of it is left."""

from __future__ import annotations

import pytest

from premises.host import wait_until

pytestmark = pytest.mark.system
CRASHING = """
class Crashing(Service):
    def configure(self):
        self.control.add_class("left", rate="80kbit")
        threading.Timer(0.3, lambda: os._exit(7)).start()
"""


@pytest.fixture(scope="module")
def given_up(isp):
    isp.publish("crashing", CRASHING)
    isp.sell("crashing")
    isp.pull()
    wait_until(lambda: isp.ubus("isdf.service", "list")["services"]["crashing"]["state"] == "failed", 30, "the end")


@pytest.mark.usefixtures("given_up")
def test_a_service_that_crashes_again_and_again_is_given_up_and_leaves_nothing(isp):
    wait_until(lambda: isp.told("crashing")["state"] == "failed", 10, "a report")
    words = "the process ended with status 7; what it said is in the router's log (logread)"
    assert isp.told("crashing")["error"] == words
    assert isp.classes("crashing") == {}
    assert isp.pids("crashing") == []
    assert not isp.report()["applied"]


@pytest.mark.usefixtures("given_up")
def test_a_version_that_does_better_takes_its_place(isp):
    isp.publish("crashing", version="1.0.1")
    isp.pull()
    assert (isp.told("crashing")["state"], isp.told("crashing")["error"]) == ("running", None)
    assert isp.classes("crashing").keys() == {"lane"}
