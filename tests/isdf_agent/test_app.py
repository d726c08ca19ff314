"""How the agent starts, and what becomes of one that cannot."""

import signal

import pytest

from isdf.errors import InvalidError
from isdf.loop import Loop
from isdf_agent import app
from isdf_agent.life import Life


@pytest.mark.parametrize(("words", "pauses"), [([], [app.APART]), (["--root", "/nowhere"], [])])
def test_one_that_cannot_start_says_why_and_keeps_procd_from_starting_it_each_second(
    monkeypatch, capsys, words, pauses
):
    def refuse(paths):
        raise InvalidError("option push_port is 'x'")

    slept = []
    monkeypatch.setattr(app, "_serve", refuse)
    monkeypatch.setattr(app, "setup", lambda *_: None)
    monkeypatch.setattr(app.os, "umask", lambda mask: None)
    monkeypatch.setattr(app.time, "sleep", slept.append)
    assert app.main(words) == 1
    assert capsys.readouterr().err == "isdf-agent: option push_port is 'x'\n"
    assert slept == pauses


@pytest.fixture
def loop(monkeypatch):
    """One that leaves it as it is what the process does at signals."""
    monkeypatch.setattr("isdf.loop.signal.signal", lambda *_: None)
    monkeypatch.setattr("isdf.loop.signal.set_wakeup_fd", lambda *_, **__: None)
    loop = Loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("early", [False, True], ids=["in time", "before it served"])
def test_an_agent_hands_over_whenever_the_router_became_somebody_else(loop, early):
    life = Life(loop)
    life.hand_over() if early else loop.after(0, life.hand_over)
    assert life.run() is True


def test_one_that_was_told_to_end_does_not_hand_over(loop):
    life = Life(loop)
    loop.after(0, life.hand_over)
    loop.after(0, lambda: loop._signals[signal.SIGTERM]())
    assert life.run() is False
