"""What is reported of a service that failed: why, how its process ended, and what it said last."""

import json

import pytest
from fakes import Router
from simulator import Operator

from isdf_agent.delivery.retries import Retries
from isdf_agent.delivery.trials import Trials

WORDS = (139, "Traceback\nValueError: this cannot be")


def words(router, name="tv"):
    line = router.line(name)
    return line["exit"], line["log"]


@pytest.fixture
def failed(router):
    router.services.said["tv"] = WORDS
    router.services.broken["tv", "1.0.0"] = "the process was ended by signal 11"
    router.pull()
    return router


def test_a_first_version_that_failed_tells_how(failed):
    assert words(failed) == WORDS
    assert failed.line("tv")["state"] == "failed"


def test_a_service_that_is_well_has_no_words(router):
    router.services.said["tv"] = WORDS
    router.pull()
    assert words(router) == (None, None)


def test_words_that_come_later_are_told_when_they_come(router):
    later, known = [], []
    router.services.last_words = lambda name, done: later.append(done)
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    assert words(router) == (None, None)
    router.rollout.on_known = lambda: known.append(words(router))
    later[0](WORDS)
    assert known == [WORDS]


def test_the_words_of_a_version_that_gave_way_are_told_while_the_one_before_runs(router, operator):
    router.pull()
    operator.subscribe("tv", "1.1.0")
    router.services.said["tv"] = WORDS
    router.services.broken["tv", "1.1.0"] = "no"
    router.pull()
    assert router.line("tv")["state"] == "running"
    assert words(router) == WORDS


def test_the_words_of_one_that_is_given_up_are_told(router):
    router.pull()
    router.services.said["tv"] = WORDS
    router.services.give_up("tv", "it crashed")
    assert words(router) == WORDS


def test_words_go_when_it_is_well_again(failed):
    failed.services.broken.clear()
    failed.loop.advance(Retries.FIRST)
    assert words(failed) == (None, None)
    failed.services.give_up("tv", "it crashed")
    assert words(failed) == WORDS, "new ones"


def test_words_that_come_too_late_are_dropped(router, operator):
    later = []
    router.services.last_words = lambda name, done: later.append(done)
    router.services.broken["tv", "1.0.0"] = "no"
    router.pull()
    operator.unsubscribe("tv")
    router.pull()
    later[0](WORDS)
    operator.subscribe("tv", "1.0.1")
    router.pull()
    assert words(router) == (None, None)


def test_a_package_that_opkg_refused_said_nothing(router):
    router.services.said["tv"] = WORDS
    router.installer.refuse["isdf-service-tv", "1.0.0"] = "no space left"
    router.pull()
    assert words(router) == (None, None)


def test_the_sentence_is_cut_and_cleaned(router):
    router.services.broken["tv", "1.0.0"] = "x" * 5000 + "\x1b[31m\nlast line"
    router.pull()
    error = router.told()["tv"][2]
    assert len(error) == 2048
    assert error.endswith("x [31m last line")


@pytest.mark.parametrize(("count", "letter", "least"), [(12, "x", 2048), (40, "x", 512), (40, "\u20ac", 64)])
def test_a_report_of_many_that_failed_fits_what_the_manager_takes(tmp_path, count, letter, least):
    operator = Operator()
    names = [f"s{n}" for n in range(count)]
    for name in names:
        operator.subscribe(name)
    router = Router(tmp_path, operator)
    router.services.said = dict.fromkeys(names, (1, letter * 2048))
    router.services.broken = {(name, "1.0.0"): f"no {letter * 2045}" for name in names}
    router.pull()
    lines = router.rollout.report()[1]
    assert len(json.dumps(lines)) < 62_000
    logs = [len(line["log"]) for line in lines if line["log"]]
    assert len(logs) == min(count, Trials.WORDS)
    assert min(logs) >= least


def test_words_are_not_written_to_flash(failed):
    assert "Traceback" not in (failed.folder / "flash/running.json").read_text()
