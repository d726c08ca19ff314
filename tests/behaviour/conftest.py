"""One ISP for the whole folder; each module has homes of its own, so that their buckets of pushes are full."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from premises.home import Home
from premises.host import wait_until
from premises.premises import Premises

from . import router
from .measure import HERE

HOMES = 9
SITES = "sites=mirror-a.example"


class Shop:
    """What the operator and the customers do in these tests. The services are pay-per-site and its copies."""

    def __init__(self, net: Premises, folder: Path) -> None:
        self.net, self._folder = net, folder

    def home(self, number: int) -> Home:
        return self.net.home(number)

    def buy(self, home: Home, service: str = "pay-per-site", rate: str = "200kBps", *more: str) -> str:
        """Sell the lane to mirror A; what the command said, which ends when the service runs."""
        return self.net.operator(["subscribe", home.name, service, "--config", SITES, f"rate={rate}", *more]).stdout

    def configure(self, home: Home, *words: str, service: str = "pay-per-site") -> str:
        return self.net.operator(["configure", home.name, service, *words]).stdout

    def end(self, home: Home, service: str = "pay-per-site") -> str:
        return self.net.operator(["unsubscribe", home.name, service]).stdout

    def clear(self, home: Home, service: str = "pay-per-site") -> None:
        """End it without a push, of which a home takes three at once and one more each 10 s."""
        self.net.operator(["unsubscribe", home.name, service, "--no-push"])
        home.router.ubus("call", "isdf", "pull")
        wait_until(lambda: service not in router.classes(home.router), 15, f"the end of {service}")

    def publish(self, name: str, version: str = "1.0.0", code: str | None = None) -> None:
        """Publish pay-per-site under another name or version, or with other code."""
        folder = self._folder / f"{name}-{version}" / name
        folder.mkdir(parents=True)
        source = self.net.feed / "pay-per-site"
        text = (source / "service.yaml").read_text().replace("name: pay-per-site", f"name: {name}")
        (folder / "service.yaml").write_text(re.sub(r'version: ".*"', f'version: "{version}"', text))
        (folder / "service.py").write_text(code or (source / "service.py").read_text())
        self.net.services_manager.publish(folder)

    def wide_edge(self, home: Home) -> None:
        """Let the edge pass all that the line carries, so that queues stand at home alone."""
        self.net.sell(home, self.net.line.down, self.net.line.up)


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    with Premises(homes=HOMES) as net:
        net.start_manager()
        net.operator(["publish", str(net.feed / "pay-per-site")])

        def connect(home: Home) -> None:
            net.add_device(home)
            home.router.start_agent()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(connect, net.homes))
        for home in net.homes:
            wait_until(lambda home=home: net.is_known(home), 20, f"the first pull of {home.name}")
        for letter in "ab":
            mirror = net.mirror(letter)
            mirror.daemon("datagrams", [sys.executable, str(HERE / "datagrams.py"), "serve"])
            wait_until(lambda mirror=mirror: "ready" in mirror.read("/var/log/datagrams.log"), 10, "the UDP server")
        yield Shop(net, tmp_path_factory.mktemp("feed"))
