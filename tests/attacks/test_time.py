"""Time that is taken away, set ahead, or held up."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from attacks.home import Home
from attacks.isp import Isp
from attacks.relay import saying

pytestmark = pytest.mark.system
attack = pytest.mark.attack
DAY = 86400
CLOCKS = Path(__file__).parent / "clock"


class Clock:
    """The wall clock of the processes that have `env`; `set` puts it ahead by seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)
        path_of_modules = f"{CLOCKS}:{os.environ['PYTHONPATH']}" if "PYTHONPATH" in os.environ else str(CLOCKS)
        self.env = {"ATTACKS_CLOCK": str(path), "PYTHONPATH": path_of_modules}

    def set(self, seconds: int) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.rename(self._path)


class World:
    """A manager and a home with a clock each; the home runs `tv`, and `film` for two hours."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.managers = Clock(folder / "clock"), Clock(folder / "managers-clock")
        (folder / "isp").mkdir()
        (folder / "home").mkdir()
        self.isp = Isp(folder / "isp")
        self.home = Home(folder / "home", self.isp.add("home1"), self.isp.relay, env=self.clock.env)

    def begin(self) -> None:
        for name in ("tv", "film", "game"):
            self.isp.publish(name)
        self.isp.serve(self.managers.env)
        self.isp.sell("home1", "tv")
        self.isp.sell("home1", "film", "--for", "2h")
        self.home.start()
        self.runs("film", "tv")

    def runs(self, *names: str) -> None:
        """These run, or will in a moment, and no others."""
        self.home.until(lambda: sorted(self.home.versions()) == list(names))

    def pulls_in_vain(self) -> None:
        """A pull for which nobody answers, not even the report about it."""
        start = len(self.home.log())
        self.home.call("isdf", "pull")
        self.home.until(lambda: "pull (asked)" in self.home.log(start))
        self.home.logged("does not answer", start)

    def blocked(self):
        """The manager cannot be reached."""
        return self.isp.relay.answering("", _closed)

    def close(self) -> None:
        self.home.close()
        self.isp.close()


def _closed(exchange) -> None:
    exchange.close_connection = True


@pytest.fixture
def world(tmp_path):
    with contextlib.closing(World(tmp_path)) as made:
        made.begin()
        yield made


@attack("clock-at-1970")
def test_a_router_that_has_lost_its_clock(world):
    """It still knows what is over, hears its manager, and runs what it should."""
    home, isp = world.home, world.isp
    old = isp.publication("home1").assignment
    home.takes(tv=isp.publish("tv"), film=isp.versions["film"])
    home.kill()
    world.clock.set(-int(time.time()))
    home.start(booting=True)
    world.runs("film", "tv")
    with isp.relay.answering("/assignment$", saying(old)):
        home.refuses("is older than")
    home.takes(tv=isp.publish("tv"))
    assert home.status()["clock_set"] is False


@attack("clock-at-2037")
def test_a_forged_time_server(world):
    """What it ends is there again when the time is right again, and nothing of it was lost."""
    home, isp = world.home, world.isp
    until = int(time.time()) + 3 * DAY
    isp.desk("subscribe", "home1", "game", "--no-push", "--until", f"@{until}")
    home.takes(game=isp.versions["game"])
    version = isp.publish("tv")
    world.clock.set(11 * 365 * DAY)
    start = len(home.log())
    home.pull()
    world.runs()
    home.logged("expired on", start)
    world.clock.set(0)
    home.takes(tv=version, film=isp.versions["film"], game=isp.versions["game"])


@attack("manager-blocked-for-a-month")
def test_a_manager_that_cannot_be_reached_for_a_month(world):
    """For its grace a home goes on with what has no end; then it waits for its manager, and has lost nothing."""
    home, isp = world.home, world.isp
    with world.blocked():
        for days, names in ((20, ["tv"]), (30, [])):
            world.clock.set(days * DAY)
            world.managers.set(days * DAY)
            world.pulls_in_vain()
            world.runs(*names)
    home.takes(tv=isp.versions["tv"])


@attack("answer-304-for-ever")
def test_a_manager_that_seems_to_have_nothing_new_for_a_month(world):
    """What was cancelled long ago does not run for ever where somebody keeps the news away."""
    home, isp = world.home, world.isp
    isp.desk("unsubscribe", "home1", "tv", "--no-push")
    with isp.relay.answering("/assignment$", lambda exchange: exchange.answer(304)):
        for days, names in ((5, ["tv"]), (20, ["tv"]), (30, [])):
            world.clock.set(days * DAY)
            world.managers.set(days * DAY)
            start = len(home.log())
            home.pull()
            world.runs(*names)
            if days > 7:
                home.logged("nothing is new, although this router's assignment has expired", start)
    isp.sell("home1", "tv")
    home.takes(tv=isp.versions["tv"])
