"""A hundred homes and one manager, all pushed at once, on this machine alone.

`homes_100_all_enforced_s`: from the first datagram until the last service has its class with the new rate. homes.json
has it with half of them, and the same for a service that is new to each home, with its package (`all_installed_s`).
"""

import contextlib
import io
import threading
import time

import pytest
import sqlalchemy as sa

from bench.homes import Homes
from isdf_manager import cli, push, storage
from isdf_manager.home import Home
from served import Served

pytestmark = pytest.mark.system
HOMES, PORT = 100, 29000
CHANGES = {
    "installed": ["subscribe", "--config", "sites=example.com", "rate=100kBps"],
    "enforced": ["configure", "rate=200kBps"],
}


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path, "https")
    made("init", "--url", made.url)
    made("publish", "feed/pay-per-site")
    made.start()
    yield made
    made.stop()


def run(served, *words):
    """A command of the manager, in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["--home", str(served.home), *words]) == 0
    return out.getvalue()


def push_all(served, names, since):
    """Push to all of them, and again as `isdf-manager push` does to those that were not seen to pull."""
    store = Home(served.home).storage(Home(served.home).config())
    pushes = push.Push(store, lambda _: None)
    datagrams = {name: pushes._datagram(name) for name in names}
    begun = time.monotonic()
    for pause in (0.0, *push.REPEAT):
        while time.monotonic() < begun + pause:
            time.sleep(0.01)
        table = storage.contact
        with store.read() as connection:
            late = set(connection.execute(sa.select(table.c.device).where(table.c.pulled_at < since)).scalars())
        for name in late & datagrams.keys():
            push.send(*datagrams[name])
    store.close()


def test_a_hundred_homes_that_are_pushed_at_once(served, tmp_path, write):
    (tmp_path / "homes").mkdir()
    with Homes(tmp_path / "homes", HOMES, PORT) as all_of_them:
        homes = all_of_them.homes
        for home in homes:
            file = home.root / "etc/config/isdf"
            run(
                served, "device", "add", home.name, "--uci", str(file), "--set", f"push_port={home.port}",
                "--set", "dataplane=memory", "--line", "down=8000,up=8000,base_down=1200,base_up=1200",
            )  # fmt: skip
        all_of_them.start()
        all_of_them.until(lambda: known(served) == HOMES, 300)
        figures = {"homes": HOMES}
        for number, (name, words) in enumerate(CHANGES.items()):
            for home in homes:
                run(served, words[0], home.name, "pay-per-site", *words[1:], "--no-push")
            since, begun = time.time(), time.monotonic()
            pushing = threading.Thread(target=push_all, args=(served, [home.name for home in homes], since))
            pushing.start()
            all_of_them.until(lambda number=number: all(len(home.enforced) > number for home in homes), 300)
            took = sorted(home.enforced[number][0] - begun for home in homes)
            figures |= {f"all_{name}_s": round(took[-1], 2), f"half_{name}_s": round(took[len(took) // 2], 2)}
            pushing.join()
            all_of_them.until(lambda since=since: reported(served, since) == HOMES, 120)
        write("delivery", {"homes_100_all_enforced_s": figures["all_enforced_s"]})
        write("homes", figures)
        for home in homes:
            assert [config["rate"] for _, config in home.enforced] == ["100kBps", "200kBps"]  # each once


def known(served):
    """Homes that have pulled."""
    return _count(served, storage.contact.c.pulled > 0)


def reported(served, since):
    """Homes that have reported since then."""
    return _count(served, storage.contact.c.reported_at > since)


def _count(served, condition):
    store = Home(served.home).storage(Home(served.home).config())
    with store.read() as connection:
        found = connection.execute(sa.select(sa.func.count()).where(condition)).scalar()
    store.close()
    return found
