"""Fixtures for tests that need a bus: with OPENWRT_ROOT set each runs against the stand-in and the real ubusd."""

import functools
import time

import pytest

from isdf import ubus
from isdf.loop import Loop

from .bus import Bus
from .programs import choices

UBUSD = choices("ubusd")


@pytest.fixture(scope="module", params=UBUSD)
def bus(request, tmp_path_factory):
    """A ubusd for a module; its tests take it as they find it."""
    with Bus(tmp_path_factory.mktemp("bus"), UBUSD[request.param]) as running:
        yield running


@pytest.fixture(params=UBUSD)
def own_bus(request, tmp_path):
    """A ubusd for one test, which may kill it."""
    with Bus(tmp_path, UBUSD[request.param]) as running:
        yield running


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def connect(loop):
    """`connect(bus)`: a connection attached to `loop`, closed at the end of the test."""
    made = []

    def connect_to(bus, attach=True):
        made.append(ubus.connect(bus.socket))
        if attach:
            made[-1].attach(loop)
        return made[-1]

    yield connect_to
    for connection in made:
        connection.close()


@pytest.fixture
def until(loop):
    """`until(condition)`: run the loop until `condition()` is true, which is then returned; it fails after 5 s."""
    return functools.partial(settle, loop)


def settle(loop: Loop | None, condition, timeout: float = 5.0):
    """Run `loop` (None: wait) until `condition()` is true, which is then returned; it fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {timeout} s"
        if loop:
            loop.step(0.01)
        else:
            time.sleep(0.002)
    return result
