"""A service that hangs at its start delays no other: the operator is told of each as soon as it is known."""

from __future__ import annotations

import pytest

from bad_input.broken import BROKEN
from premises.host import wait_until

pytestmark = pytest.mark.system


def test_a_service_that_was_sold_with_one_that_hangs_runs_and_is_reported_before_the_other_is_known(isp):
    isp.publish("hangs", BROKEN["hangs"][0])
    isp.publish("quick")
    isp.desk(isp.selling("hangs"), isp.selling("quick"))
    isp.ubus("isdf", "pull")

    def states() -> dict:
        return {told["name"]: told["state"] for told in isp.report()["services"]}

    wait_until(lambda: states().get("quick") == "running", 20, "the other")
    assert states()["hangs"] == "starting"
    assert isp.classes("quick").keys() == {"lane"}
    wait_until(lambda: states()["hangs"] == "failed", 20, "the end of the try")
    assert states()["quick"] == "running"
    isp.end("hangs", "quick")
