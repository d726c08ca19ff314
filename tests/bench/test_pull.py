"""A whole pull by the agent, as a customer's router makes it: nothing is new, or one service is.

Milliseconds of the router's own clock, the median of several. `pull_ms_unchanged`: from the moment at which it is asked
to pull until it knows that nothing is new. `pull_ms_install`: from its start until the service is ready whose package
was fetched, verified and installed by opkg; pull.json has the steps between.
"""

import statistics
import time

import pytest

from isdf import ubus
from premises.host import wait_until
from premises.premises import Premises

pytestmark = pytest.mark.system
SEVERAL = 15
SERVICE = "pay-per-site"


@pytest.fixture(scope="module")
def net():
    with Premises(homes=1) as made:
        made.start_manager()
        made.operator(["publish", str(made.feed / SERVICE)])
        home = made.home(1)
        made.add_device(home)
        home.router.start_agent()
        wait_until(lambda: made.is_known(home), 60, "the first pull")
        yield made


@pytest.fixture
def agent(net):
    """`agent("pull")` and `agent("status")` on the bus of the router."""
    bus = ubus.connect(str(net.home(1).router.path("/tmp/run/ubus/ubus.sock")))
    yield lambda method: bus.call("isdf", method, {})
    bus.close()


def test_a_pull_that_brings_nothing(agent, write):
    took = [unchanged(agent) for _ in range(SEVERAL)]
    write("delivery", {"pull_ms_unchanged": round(statistics.median(took))})
    write("pull", {"unchanged_ms": [round(min(took)), round(max(took))]})


def unchanged(agent) -> float:
    begun = time.time()
    agent("pull")
    return (wait_until(lambda: contact(agent, begun), 20, "the end of the pull") - begun) * 1000


def contact(agent, since: float) -> float | None:
    """When a pull ended, if one has since then."""
    last = agent("status")["delivery"]["last_contact"]
    return last if last and last > since else None


def test_a_pull_that_brings_a_service(net, agent, write):
    took = [installed(net, agent) for _ in range(SEVERAL)]
    steps = {key: round(statistics.median(t[key] for t in took)) for key in took[0]}
    write("delivery", {"pull_ms_install": steps["ready"]})
    write("pull", {"install_median_steps_ms": steps})


def installed(net, agent) -> dict[str, int]:
    """The steps in milliseconds since the start of the pull."""
    words = [SERVICE, "--config", "sites=mirror-a.example", "rate=200kBps", "--no-push"]
    net.operator(["subscribe", "home1", *words])
    agent("pull")
    wait_until(lambda: states(agent) == ["running"], 30, "the service")
    timeline = agent("status")["delivery"]["timeline"]
    net.operator(["unsubscribe", "home1", SERVICE, "--no-push"])
    agent("pull")
    wait_until(lambda: states(agent) == [], 30, "its end")
    return {step: moment - timeline["pull_started"] for step, moment in timeline.items()}


def states(agent) -> list[str]:
    return [service["state"] for service in agent("status")["delivery"]["services"]]
