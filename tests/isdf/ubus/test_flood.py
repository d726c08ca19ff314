"""Ten thousand calls under way at once, of several processes: each gets its own answer, once."""

import json
import subprocess
import sys

import pytest

from isdf.ubus import Method

pytestmark = pytest.mark.system

CALLERS, CALLS = 4, 2500
CALLER = """
import json, sys
from isdf import ubus
from isdf.loop import Loop

path, caller, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
loop, answers = Loop(), {}
bus = ubus.connect(path)
bus.attach(loop)
for number in range(calls):
    def done(status, reply, number=number):
        answers.setdefault(number, []).append((status, reply))
        len(answers) == calls and loop.stop()
    bus.call_async("flood", "echo", {"caller": caller, "number": number}, done, timeout=60)
loop.run()
wrong = {n: got for n, got in answers.items() if got != [(0, {"caller": caller, "number": n})]}
print(json.dumps({"answered": len(answers), "wrong": dict(list(wrong.items())[:3])}))
"""


def test_ten_thousand_calls_in_flight(own_bus, connect, until):
    """Nothing is answered before all have come, so that all are under way at the same time."""
    held = []

    def echo(request):
        request.defer()
        held.append(request)

    connect(own_bus).add("flood", {"echo": Method(echo, {"caller": "int", "number": "int"})})
    argv = [sys.executable, "-c", CALLER, own_bus.socket]
    callers = [subprocess.Popen([*argv, str(n), str(CALLS)], stdout=subprocess.PIPE, text=True) for n in range(CALLERS)]
    until(lambda: len(held) == CALLERS * CALLS, timeout=60)
    for request in held:
        request.reply(request.args)
    until(lambda: all(caller.poll() is not None for caller in callers), timeout=60)
    results = [json.loads(caller.communicate()[0]) for caller in callers]
    assert results == [{"answered": CALLS, "wrong": {}}] * CALLERS
