"""What an idle router with an open pass writes to its flash in a day.

A fortnight of the router's own clock, of the whole delivery with a manager in memory: every timer that falls into it
runs, every half hour a pull brings what is there already, and every three and a half days an assignment that was signed
anew. `flash_kb_per_day_idle` are the bytes that the kernel counts as written by this process, which has nothing else to
write (wchar of proc_pid_io(5)); wear.json has how often the router writes, as its own `status` tells it, and its bytes.
"""

from pathlib import Path

import pytest
from fakes import FakeInstaller, FakeLoop, FakeServices
from simulator import DEVICE, DEVICE_KEY, NOW, Operator

from isdf_agent.config import Config, Paths
from isdf_agent.delivery.delivery import Delivery
from isdf_agent.delivery.identity import Identity

DAY, HOUR = 86_400, 3600
DAYS = 14
HALF_LIFE = 7 * DAY // 2
CONFIG = Config(
    manager="", claim="", insecure=False, pull_interval=1800, ready_timeout=30, push_port=0, dataplane="memory",
    mark_mask=0xFF000000, line=None, wan="wan", lan=("br-lan",),
)  # fmt: skip


class Manager:
    """What `Delivery` fetches from and posts to; `prepared` are the assignments that it will have, in files."""

    def __init__(self, loop: FakeLoop, operator: Operator, folder: Path) -> None:
        self.loop, self.pulls = loop, 0
        self._package = {entry.sha256: folder / entry.package for entry in operator.entries.values()}
        for entry in operator.entries.values():
            self._package[entry.sha256].write_bytes(operator.packages[entry.filename])
        self.prepared = []
        for number in range(DAYS * DAY // HALF_LIFE + 1):
            operator.issued, operator.expires = NOW + number * HALF_LIFE, NOW + number * HALF_LIFE + 7 * DAY
            operator.serial += 1
            self.prepared.append((operator.issued, operator.digest(), folder / f"assignment{number}"))
            self.prepared[-1][2].write_bytes(operator.assignment())

    def fetch(self, parameters: dict, done) -> None:
        now = self.loop.clock.now()
        self.pulls += 1
        _, digest, path = max(told for told in self.prepared if told[0] <= now)
        result = {"status": "unchanged", "time": now}
        if parameters["digest"] != digest:
            staged = {s: str(p) for s, p in self._package.items() if s not in parameters["have"]}
            result |= {"status": "fetched", "assignment": str(path), "packages": staged}
        self.loop.after(0.3, lambda: done(result))

    def post(self, report: dict, done) -> None:
        self.loop.after(0.1, lambda: done(0, ""))


@pytest.fixture
def manager(tmp_path):
    """Of an operator who has sold a service for good and a pass of a month."""
    operator = Operator()
    operator.subscribe("tv", config={"rate": 1})
    operator.subscribe("lane", until=NOW + 30 * DAY)
    return Manager(FakeLoop(), operator, tmp_path)


@pytest.fixture
def delivery(tmp_path, manager):
    """It has pulled, and its services have shown that they stay up."""
    loop, services = manager.loop, FakeServices()
    identity = Identity("https://manager", "", "", False, DEVICE_KEY, DEVICE, None)
    made = Delivery(
        loop, CONFIG, Paths(tmp_path), identity, services, installer=FakeInstaller(), clock=loop.clock,
        fetch=manager.fetch, post=manager.post,
    )  # fmt: skip
    made.start()
    loop.advance(2 * HOUR)
    assert services.versions() == {"tv": "1.0.0", "lane": "1.0.0"}
    yield made
    made.stop()


def written() -> int:
    """Bytes that this process has written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def test_an_idle_router_spares_its_flash(delivery, manager, write):
    before, pulls, by_kernel = delivery.status(), manager.pulls, written()
    manager.loop.advance(DAYS * DAY)
    by_kernel, after = written() - by_kernel, delivery.status()
    write("delivery", {"flash_kb_per_day_idle": round(by_kernel / DAYS / 1000, 2)})
    counted = {name: after[f"flash_{name}"] - before[f"flash_{name}"] for name in ("writes", "bytes")}
    write(
        "wear",
        {
            "days": DAYS, "pulls": manager.pulls - pulls, "writes_per_day_idle": round(counted["writes"] / DAYS, 1),
            "kb_per_day_by_the_journal": round(counted["bytes"] / DAYS / 1000, 2),
        },
    )  # fmt: skip
    assert manager.pulls - pulls > DAYS * 48 * 0.9
    assert after["applied"]
