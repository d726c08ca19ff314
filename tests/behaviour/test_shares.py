"""Two transfers share a line; the customer buys; one of them runs faster; the pass ends and it is as before.

Payload at who receives, IPv4 and IPv6, to the home and from it: four homes at once, one story.
"""

from types import SimpleNamespace

import pytest

from premises.host import wait_until

from . import router
from .measure import download, settle, speeds, upload

pytestmark = [pytest.mark.system, pytest.mark.alone]
CASES = {"down-ipv4": (1, 4), "down-ipv6": (2, 6), "up-ipv4": (3, 4), "up-ipv6": (4, 6)}  # home, family
# Seconds. Headers take 4.4 of 100 bytes by IPv4 and 5.7 by IPv6, of the 7 (10 for the base) that may be missing. TCP
# holds back what comes behind a lost packet for as long as a queue is, 0.2 s; a window must outweigh that.
WINDOW, LONG_WINDOW = 10.0, 20.0
PASS = 36


@pytest.fixture(scope="module")
def story(shop):
    """`before`, `during`, `ended`: kB/s from or to A and B in each case."""
    homes = [shop.home(number) for number, _ in CASES.values()]
    transfers = []
    for case, (number, family) in CASES.items():
        home = shop.home(number)
        for client, letter in ((1, "a"), (2, "b")):
            if case.startswith("down"):
                transfers.append(download(home.client(client), f"mirror-{letter}", family))
            else:
                transfers.append(upload(home.client(client), shop.net.mirror(letter), family, 7000 + number))

    def measured(seconds):
        found = speeds(transfers, seconds)
        return {case: tuple(found[2 * at : 2 * at + 2]) for at, case in enumerate(CASES)}

    settle(6)
    told = SimpleNamespace(before=measured(WINDOW))
    for home in homes:
        shop.net.operate(["subscribe", home.name, "pay-per-site", "--config", "sites=mirror-a.example",
                          "rate=200kBps", "--for", f"{PASS}s"])  # fmt: skip
    for home in homes:
        router.enforced(home)
    settle(3)
    told.during = measured(LONG_WINDOW)
    for home in homes:
        wait_until(lambda home=home: not router.classes(home.router), PASS, f"the end of the pass of {home.name}")
    settle(5)
    told.ended = measured(WINDOW)
    told.broken = [t.broken for t in transfers]
    yield told
    for transfer in transfers:
        transfer.stop()


@pytest.mark.parametrize("case", CASES)
def test_before_the_purchase_both_transfers_get_half_of_the_base(story, case):
    assert story.before[case] == pytest.approx((75, 75), rel=0.1)


@pytest.mark.parametrize("case", CASES)
def test_after_the_purchase_the_site_has_its_rate_and_the_rest_keeps_the_base(story, case):
    assert story.during[case] == pytest.approx((200, 150), rel=0.07)


@pytest.mark.parametrize("case", CASES)
def test_when_the_pass_has_ended_all_is_as_before(story, case):
    assert story.ended[case] == pytest.approx((75, 75), rel=0.1)


def test_no_connection_breaks(story):
    assert not any(story.broken)
