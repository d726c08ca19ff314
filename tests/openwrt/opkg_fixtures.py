"""Fixtures for what tries opkg: the program in each variant, a signed feed, a router that knows it."""

import pytest

from .programs import choices
from .router import AGENT, Feed, Router

X, FOLDER = "isdf-service-x", "/usr/lib/isdf/services/x"
INSTALLED = {
    "Package": X,
    "Version": "1.0.0",
    "Depends": "isdf-agent",
    "Status": "install user installed",
    "Architecture": "all",
}


@pytest.fixture(params=choices("opkg").values(), ids=choices("opkg"))
def opkg(request):
    """The words that start opkg: the stand-in, and with OPENWRT_ROOT the real one."""
    return request.param


@pytest.fixture
def feed(tmp_path):
    feed = Feed(tmp_path / "feed")
    yield feed
    feed.close()


@pytest.fixture
def router(tmp_path, feed, opkg):
    """A router on which the agent is installed and whose feed has version 1.0.0 of the service X in `feed.file`."""
    router = Router(tmp_path / "root", feed, opkg)
    feed.file = feed.add(X, Depends="isdf-agent")
    feed.publish()
    router.installed(AGENT)
    return router


def complaints(*lines):
    """What opkg prints of the errors `lines`."""
    return ["Collected errors:", *(f" * {line}" for line in lines)] if lines else []
