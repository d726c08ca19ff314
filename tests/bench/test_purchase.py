"""From the push to the first packet in the new class, over a hundred purchases: on a clean line, on a lossy one.

A purchase at a time, of one home after the other, so that a router's own limit of pulls by push is not what is
measured. The home that buys has a download running.
"""

import statistics
import subprocess
import time
from contextlib import contextmanager

import pytest

from premises.host import wait_until
from premises.premises import FILE, Premises

pytestmark = pytest.mark.system

HOMES, PURCHASES = 10, 100
BUCKET = 10.0  # seconds until a router lets one more push make it pull
LOSS = 5.0  # percent, each way


@pytest.fixture(scope="module")
def net():
    with Premises(homes=HOMES) as made:
        made.start_manager()
        made.operator(["publish", str(made.feed / "pay-per-site")])
        for home in made.homes:
            made.add_device(home)
            home.router.start_agent()
        for home in made.homes:
            wait_until(lambda home=home: made.is_known(home), 60, f"the first pull of {home.name}")
        yield made


def test_a_purchase_is_enforced_within_a_second_of_its_push(net, write):
    took, timelines = purchases(net)
    steps = {key: round(statistics.median(t[key] for t in timelines if key in t)) for key in timelines[0]}
    write("delivery", {f"push_to_enforced_ms_p{share}": percentile(took, share) for share in (50, 95, 99)})
    write("purchase", {"purchases": len(took), "max_ms": took[-1], "median_steps_ms": steps})


def test_a_line_that_loses_packets_delays_it_little(net, write):
    for home in net.homes:
        home.loss(LOSS)
    took, _ = purchases(net)
    write("delivery", {"push_to_enforced_loss5_ms_p95": percentile(took, 95)})
    write("purchase", {"loss5_purchases": len(took), "loss5_max_ms": took[-1]})


def purchases(net) -> tuple[list[int], list[dict]]:
    """Milliseconds of each purchase, in their order of size; the steps of each, in milliseconds since its push."""
    took, timelines = [], []
    free = dict.fromkeys(net.homes, 0.0)
    for number in range(PURCHASES):
        home = net.homes[number % len(net.homes)]
        time.sleep(max(0.0, free[home] - time.monotonic()))  # the router's own limit, not ours to measure
        free[home] = time.monotonic() + 2 * BUCKET
        with downloading(home.client(1)):
            milliseconds, steps = purchase(net, home)
        took.append(milliseconds)
        timelines.append(steps)
    return sorted(took), timelines


@contextmanager
def downloading(client):
    """Meanwhile a download from mirror A runs, which nobody here has to read."""
    there = client.path("/tmp/download")
    with client.popen(["curl", "-4sS", "-o", "/tmp/download", f"http://mirror-a.example/{FILE}"]) as download:
        wait_until(lambda: there.exists() and there.stat().st_size, 30, f"the download of {client.name}")
        yield
        download.kill()
    there.unlink()


def purchase(net, home) -> tuple[int, dict]:
    """Milliseconds from the push to the first packet in the class; the steps between."""
    watcher = home.router.popen(home.router.python("premises.first_packet"), stdout=subprocess.PIPE, text=True)
    words = ["subscribe", home.name, "pay-per-site", "--config", "sites=mirror-a.example", "rate=200kBps"]
    with net.operate([*words, "--for", "1h"], stdout=subprocess.PIPE, text=True) as operator:
        read = next(time.time() * 1000 for line in operator.stdout if line.startswith("pushed"))
        said = operator.stdout.read()
    assert operator.returncode == 0, said
    counted = int(watcher.stdout.readline().split()[1])
    timeline = home.router.ubus("call", "isdf", "status")["delivery"]["timeline"]
    pushed = min(read, timeline["push_received"])  # the command's line may be read late
    net.operator(["unsubscribe", home.name, "pay-per-site"])
    watcher.communicate(timeout=10)
    return round(counted - pushed), {key: round(value - pushed) for key, value in timeline.items()}


def percentile(sorted_values: list[int], share: int) -> int:
    """The smallest value that `share` percent of them do not exceed."""
    return sorted_values[-(-len(sorted_values) * share // 100) - 1]
