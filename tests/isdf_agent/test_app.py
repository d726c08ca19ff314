"""How the agent starts, and what becomes of one that cannot."""

import signal

import pytest

from isdf.errors import InvalidError, UnavailableError
from isdf.loop import Loop
from isdf_agent import app
from isdf_agent.life import Life


@pytest.fixture
def quiet(monkeypatch):
    """The process of the tests stays as it is; how long the agent would have slept."""
    slept = []
    monkeypatch.setattr(app, "setup", lambda *_: None)
    monkeypatch.setattr(app.os, "umask", lambda mask: None)
    monkeypatch.setattr(app.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(("words", "pauses"), [([], [app.APART]), (["--root", "/nowhere"], [])])
@pytest.mark.parametrize(("error", "status"), [(InvalidError, 2), (UnavailableError, 1)])
def test_one_that_cannot_start_says_why_and_keeps_procd_from_starting_it_each_second(
    monkeypatch, capsys, quiet, words, pauses, error, status
):
    def refuse(paths):
        raise error("option push_port is 'x'")

    monkeypatch.setattr(app, "_serve", refuse)
    assert app.main(words) == status
    assert capsys.readouterr().err == "isdf-agent: option push_port is 'x'\n"
    assert quiet == pauses


def test_one_without_a_configuration_says_where_there_is_one(capsys, quiet, tmp_path):
    assert app.main(["--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"isdf-agent: {tmp_path}/etc/config/isdf cannot be read: No such file or directory; "
        "put there what 'isdf-manager device add NAME --uci FILE' writes\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere", "CODE"], "manager 'nowhere' is not an address such as 'https://isdf.isp.example'"),
        (["https://isdf.isp.example", "ABCD-EFGH"], "the claim code is not 9 groups"),
        (["http://isdf.isp.example", "CODE"], "is not an https address; http needs --insecure\n"),
    ],
)
def test_an_enrolment_that_is_typed_wrongly_is_wrong_use(capsys, quiet, tmp_path, words, sentence):
    assert app.main(["--root", str(tmp_path), "enroll", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "sentence"),
    [("enroll", "Make this router known to its ISP"), ("teardown", "in the network namespace where this runs")],
)
def test_the_help_of_a_command_says_what_it_does(capsys, command, sentence):
    with pytest.raises(SystemExit) as ended:
        app.main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert sentence in told
    assert "--root ROOT where the router's files lie (default: /)" in told


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
