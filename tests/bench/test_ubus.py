"""Calls on the bus through a real socket: one client asks, one object answers, each a process of ours, ubusd between.

`ubus_calls_per_s`: with some under way at once, as a service makes them that sets up its line. ubus.json has `call_ms`:
one after the other, and `call_cpu_us`: of the client's process alone.
"""

import os
import subprocess
import sys
import time

import pytest

from isdf import ubus
from isdf.loop import Loop
from openwrt.bus import Bus

pytestmark = pytest.mark.system
CALLS, UNDER_WAY = 20_000, 32
SERVED = """
import sys
from isdf import ubus
from isdf.loop import Loop
loop, connection = Loop(), ubus.connect(sys.argv[1])
told = {"name": "str", "rate": "int"}
connection.add("bench", {"add_class": ubus.Method(lambda request: {"class": request.args["name"]}, told)})
connection.attach(loop)
print("served", flush=True)
loop.run()
"""
ARGUMENTS = {"name": "sites", "rate": 1_600_000}


@pytest.fixture
def bus(tmp_path):
    with (
        Bus(tmp_path) as made,
        subprocess.Popen([sys.executable, "-c", SERVED, made.socket], stdout=subprocess.PIPE) as served,
    ):
        assert served.stdout.readline()
        yield made
        served.kill()


def test_calls(bus, write):
    connection, loop = ubus.connect(bus.socket), Loop()
    begun = time.perf_counter()
    for _ in range(2000):
        assert connection.call("bench", "add_class", ARGUMENTS) == {"class": "sites"}
    one = (time.perf_counter() - begun) / 2000
    connection.attach(loop)
    left, answered = [CALLS], [0]

    def ask():
        left[0] -= 1
        connection.call_async("bench", "add_class", ARGUMENTS, done)

    def done(status, reply):
        assert (status, reply) == (0, {"class": "sites"})
        answered[0] += 1
        if left[0]:
            ask()

    before, begun = os.times(), time.perf_counter()
    for _ in range(UNDER_WAY):
        ask()
    while answered[0] < CALLS:
        loop.step(1.0)
    wall, after = time.perf_counter() - begun, os.times()
    busy = after.user + after.system - before.user - before.system
    connection.close()
    write("delivery", {"ubus_calls_per_s": round(CALLS / wall)})
    write("ubus", {"call_ms": round(one * 1000, 2), "call_cpu_us": round(busy / CALLS * 1e6)})
