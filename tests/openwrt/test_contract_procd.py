"""The contract between the agent and procd, the stand-in or, with OPENWRT_ROOT, OpenWrt's own.

A service is described as the agent describes it, but for its user, whom this machine does not have, and its program.
"""

import os
import signal
from pathlib import Path

import pytest

from isdf.formats.assignment import PREFIX
from isdf_agent.bus import Procd
from isdf_agent.services.instance import instance

pytestmark = pytest.mark.system
NAME = f"{PREFIX}tv"


def described(start: int, *command: str, **changes) -> dict:
    wanted = instance("tv", "1.0.0", start, folder=Path("/usr/lib/isdf/services"), ubus=Path("/var/run/ubus/ubus.sock"))
    return {**wanted, "command": list(command or ["sleep", "100"]), "user": "nobody", "group": "games", **changes}


class Asked:
    """The agent's view of procd; each of its calls is waited for."""

    def __init__(self, procd) -> None:
        self._procd, self.agents = procd, Procd(procd.bus)
        self.ended, self.returned = [], []
        self.agents.watch(lambda *end: self.ended.append(end), lambda: self.returned.append(True))

    def __getattr__(self, verb):
        def call(*args):
            answers = []
            getattr(self.agents, verb)(*args, answers.append)
            return self._procd.until(lambda: answers)[0]

        return call

    def process(self) -> int:
        return self.list()[NAME]["pid"]


@pytest.fixture
def asked(procd):
    return Asked(procd)


def test_a_service_is_started_listed_and_ended(asked, procd):
    wanted = described(1)
    assert asked.set(NAME, wanted) is None
    procd.until(lambda: NAME in asked.list())
    found = asked.list()
    assert list(found) == [NAME]
    shown = {name: wanted[name] for name in ("command", "env", "user", "group", "term_timeout")}
    respawn = {"threshold": 300, "timeout": 2, "retry": 4}
    assert found[NAME] == {"running": True, "pid": found[NAME]["pid"], "respawn": respawn, **shown}
    assert asked.delete(NAME) is None
    procd.until(lambda: not asked.list())
    assert asked.delete(NAME) is None
    assert asked.ended == []


def test_the_same_is_left_alone_and_another_start_is_another_process(asked, procd):
    asked.set(NAME, described(1))
    first = procd.pid(NAME)
    asked.set(NAME, described(1))
    assert procd.pid(NAME) == first
    for start in (2, 9, 10, 11):
        asked.set(NAME, described(start))
        procd.until(lambda before=first: asked.list()[NAME].get("pid", before) != before)
        first = procd.pid(NAME)
    assert asked.ended == []


def test_each_end_is_told_with_its_status_and_process_until_procd_gives_up(asked, procd):
    asked.set(NAME, described(1, "sh", "-c", "exit 3", respawn=["300", "0", "2"]))
    procd.until(lambda: len(asked.ended) == 3)
    assert [end[:3] for end in asked.ended] == [("tv", 3, False), ("tv", 3, False), ("tv", 3, True)]
    assert len({end[3] for end in asked.ended}) == 3
    assert asked.list()[NAME]["running"] is False
    assert asked.list()[NAME]["exit_code"] == 3
    asked.set(NAME, described(2))
    procd.until(lambda: asked.list()[NAME]["running"])


def test_a_process_that_was_killed_is_told_and_comes_back(asked, procd):
    asked.set(NAME, described(1, respawn=["300", "0", "2"], user="root", group="root"))
    first = procd.pid(NAME)
    os.kill(first, signal.SIGKILL)
    procd.until(lambda: asked.ended)
    assert asked.ended == [("tv", 128 + signal.SIGKILL, False, first)]
    procd.until(lambda: asked.list()[NAME]["running"])
    assert asked.process() != first
