"""`configure` on a running service: the new rate is in force at once, and nothing that ran notices."""

import subprocess
import time

import pytest

from premises.host import wait_until

from . import router
from .measure import no_packet_lost

pytestmark = [pytest.mark.system, pytest.mark.alone]


@pytest.fixture(scope="module")
def home(shop):
    """A home with the service at 200 kB/s."""
    home = shop.home(6)
    shop.wide_edge(home)
    shop.buy(home)
    yield home
    shop.clear(home)


@pytest.fixture(scope="module")
def configured(shop, home):
    """What there was before and after `configure ... rate=400kBps`; seconds from the manager's push to the new rate."""
    number = router.enforced(home)

    def look():
        return {
            "process": router.service_pid(home.router, "pay-per-site"),
            "leases": router.leases(home.router),
            "queues": router.qdiscs(home.router),
            "rules": router.rules(home.router, handles=True),
        }

    before, sent = look(), router.sent(home.router)
    with no_packet_lost(home):
        words = ["configure", home.name, "pay-per-site", "rate=400kBps"]
        with shop.net.operate(words, stdout=subprocess.PIPE, text=True) as operator:
            pushed = next(time.monotonic() for line in operator.stdout if line.startswith("pushed"))
            wait_until(lambda: router.rate(home.router, number) == 3200, 10, "the new rate")
            changed = time.monotonic()
            said = operator.stdout.read()
        assert operator.returncode == 0, said
    later = router.sent(home.router)
    return {
        "before": before,
        "after": look(),
        "seconds": changed - pushed,
        "reset": [c for c in sent if later.get(c, -1) < sent[c]],
    }


def test_the_class_has_its_new_rate_within_a_second_of_the_push(configured):
    assert configured["seconds"] < 1


def test_the_new_rate_holds_in_both_directions(home, configured):
    assert router.rate(home.router, router.enforced(home), router.WAN) == 3200


@pytest.mark.parametrize("what", ["process", "leases", "rules"])
def test_it_is_the_same(configured, what):
    assert configured["before"][what] == configured["after"][what]
    assert configured["before"][what]


def test_no_queue_is_made_again(configured):
    assert configured["before"]["queues"] == configured["after"]["queues"]
    assert configured["reset"] == []
