"""How the agent starts, and what becomes of one that cannot."""

import pytest

from isdf.errors import InvalidError
from isdf_agent import app


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
