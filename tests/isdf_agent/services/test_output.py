"""How a process ended and what it printed last, with a `logread` that prints what a test says."""

import os

import pytest
from supervised import FakeProcd

from isdf.formats.assignment import PREFIX
from isdf.loop import Loop
from isdf_agent.services.output import WORDS, LastWords, cut

LINE = "Thu Nov 20 12:10:12 2025 daemon.err python3[{}]: {}\n"


class Log:
    """The router's log: `lines` is what logread prints; `asked` what it was asked for."""

    def __init__(self, folder, monkeypatch):
        self._folder, self.loop, self.procd = folder, Loop(), FakeProcd()
        self.words = LastWords(self.procd, self.loop)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        self.prints("")

    def prints(self, text):
        (self._folder / "printed").write_text(text)
        script = self._folder / "logread"
        script.write_text(f'#!/bin/sh\necho "$@" >{self._folder}/asked\ncat {self._folder}/printed\n')
        script.chmod(0o755)

    def asked(self):
        return (self._folder / "asked").read_text()

    def of(self, name):
        results = []
        self.words.of(name, results.append)
        while not results:
            self.loop.step(None)
        return results[0]


@pytest.fixture
def log(tmp_path, monkeypatch):
    return Log(tmp_path, monkeypatch)


def test_of_a_process_that_ended_its_status_and_its_lines_are_told(log):
    log.words.ended("tv", 139, 123)
    log.prints(LINE.format(123, "one") + LINE.format(123, "two"))
    assert log.of("tv") == (139, "one\ntwo")
    assert log.asked() == "-e ^python3\\[123\\]: \n"


def test_of_one_that_hangs_the_process_that_runs_is_asked_for(log):
    log.procd.instances[PREFIX + "tv"] = {"running": True, "pid": 77}
    log.prints(LINE.format(77, "waiting"))
    assert log.of("tv") == (None, "waiting")


def test_how_it_ended_before_its_last_start_does_not_count(log):
    log.words.ended("tv", 1, 123)
    log.words.begin("tv")
    assert log.of("tv") == (None, "")


def test_a_process_that_nobody_knows_has_no_words(log):
    assert log.of("tv") == (None, "")
    log.procd.list = lambda done: done(None)
    assert log.of("tv") == (None, "")


def test_a_router_without_a_log_says_nothing(log, tmp_path):
    (tmp_path / "logread").unlink()
    log.words.ended("tv", 1, 123)
    assert log.of("tv") == (1, "")


def test_a_service_that_floods_its_log_costs_the_agent_nothing(log):
    log.words.ended("tv", 1, 123)
    log.prints("".join(LINE.format(123, f"{n} " + "x" * 900) for n in range(1000)))
    sizes, child = [], log.loop.child

    def counting(argv, done, **options):
        child(argv, lambda status, printed: (sizes.append(len(printed)), done(status, printed)), **options)

    log.loop.child = counting
    text = log.of("tv")[1]
    assert len(text) == WORDS
    assert text.endswith("x")
    assert sizes == [8192]


def test_words_are_plain_text_and_lines_of_others_are_left_out():
    printed = b"ff\xff\n" + LINE.format(12, "\x1b[31mred\x07").encode() + b"procd: python3\n" + b"python3[12]: \xff end"
    assert cut(printed, "python3[12]: ") == " [31mred \n\ufffd end"
