"""Two transfers share a line; the customer buys; one of them runs faster; the pass ends and it is as before.

Payload at who receives, IPv4 and IPv6, to the home and from it: four homes at once, one story.
"""

from types import SimpleNamespace

import pytest

from premises.host import wait_until

from . import router
from .measure import download, settle, speeds, upload

pytestmark = pytest.mark.system
CASES = {"down-ipv4": (1, 4), "down-ipv6": (2, 6), "up-ipv4": (3, 4), "up-ipv6": (4, 6)}  # home, family
MORE_HEADERS = {4: 0.0, 6: 0.02}  # of IPv6, beside the 4 of 100 bytes that those of IPv4 take
# Seconds. After a lost packet TCP holds back for half a second what came behind it; a window must outweigh that.
WINDOW = 10.0
PASS = 20


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

    def measured():
        found = speeds(transfers, WINDOW)
        return {case: tuple(found[2 * at : 2 * at + 2]) for at, case in enumerate(CASES)}

    settle(6)
    told = SimpleNamespace(before=measured())
    for home in homes:
        shop.net.operate(["subscribe", home.name, "pay-per-site", "--config", "sites=mirror-a.example",
                          "rate=200kBps", "--for", f"{PASS}s"])  # fmt: skip
    for home in homes:
        router.enforced(home)
    settle(3)
    told.during = measured()
    for home in homes:
        wait_until(lambda home=home: not router.classes(home.router), PASS, f"the end of the pass of {home.name}")
    settle(5)
    told.ended = measured()
    told.broken = [t.broken for t in transfers]
    yield told
    for transfer in transfers:
        transfer.stop()


def near(kbps, within, case):
    return pytest.approx(kbps, rel=within + MORE_HEADERS[CASES[case][1]])


@pytest.mark.parametrize("case", CASES)
def test_before_the_purchase_both_transfers_get_half_of_the_base(story, case):
    assert story.before[case] == (near(75, 0.1, case), near(75, 0.1, case))


@pytest.mark.parametrize("case", CASES)
def test_after_the_purchase_the_site_has_its_rate_and_the_rest_keeps_the_base(story, case):
    assert story.during[case] == (near(200, 0.07, case), near(150, 0.07, case))


@pytest.mark.parametrize("case", CASES)
def test_when_the_pass_has_ended_all_is_as_before(story, case):
    assert story.ended[case] == (near(75, 0.1, case), near(75, 0.1, case))


def test_no_connection_breaks(story):
    assert not any(story.broken)
