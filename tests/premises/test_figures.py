"""The figures of the demo, of made-up samples: what is measured, how it is told, and what counts as missed."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from premises import demo
from premises.figure3 import Story, draw, mean, throughput
from premises.figures import Played, figures, missed, steps, story, table

KEYS = {
    "before", "after", "ended", "push_to_pull_ms", "push_to_enforced_ms", "end_error_ms", "connections_broken",
    "seconds",
}  # fmt: skip
BEGUN, BOUGHT, ENDED, FINISHED = 1000.0, 1020.0, 1040.0, 1060.0
TIMELINE = {"pull_started": 50_010, "push_received": 50_010, "request_sent": 50_100, "ready": 50_400}


def samples(before, during, after):
    """Bytes, ten times a second, at these kB/s."""
    found = [(BEGUN, 0)]
    for rate in (before, during, after):
        start, size = found[-1]
        found += [(start + tenth / 10, size + tenth * rate * 100) for tenth in range(1, 201)]
    return found


PLAYED = Played(
    a=samples(72, 191, 72), b=samples(72, 144, 72), begun=BEGUN, bought=BOUGHT, ended=ENDED, finished=FINISHED,
    timeline=TIMELINE, pushed_ms=50_000, enforced_ms=50_410, until_ms=90_000.4, over_ms=89_990, broken=0,
)  # fmt: skip


def test_a_mean_is_of_what_came_between_two_moments():
    assert mean([(0, 0), (1, 5000), (2, 5000), (4, 95_000)], 1, 4) == 30
    assert mean([(0, 0), (1, 5000)], 0.5, 4) == 0  # one sample says nothing


def test_throughput_smears_nothing_over_the_moment_of_a_change():
    seconds, speeds = throughput(PLAYED.a, [BEGUN, BOUGHT, ENDED, FINISHED], 3)
    assert len(seconds) == len(speeds) == 3 * 7
    assert seconds == sorted(seconds)
    assert speeds[:7] == pytest.approx([72] * 7, rel=0.05)
    assert speeds[7:14] == pytest.approx([191] * 7, rel=0.05)
    assert speeds[14:] == pytest.approx([72] * 7, rel=0.05)


def test_the_figures_have_these_keys_and_are_means_of_the_steady_parts():
    found = figures(PLAYED, 95.04)
    assert set(found) == KEYS
    parts = {part: found.pop(part) for part in ("before", "after", "ended")}
    assert all(set(part) == {"a_kBps", "b_kBps"} for part in parts.values())
    assert parts["before"] == parts["ended"] == pytest.approx({"a_kBps": 72, "b_kBps": 72})
    assert parts["after"] == pytest.approx({"a_kBps": 191, "b_kBps": 144})
    assert (found["push_to_pull_ms"], found["push_to_enforced_ms"], found["end_error_ms"]) == (100, 410, 10)
    assert (found["connections_broken"], found["seconds"]) == (0, 95.0)


def test_a_download_that_broke_is_counted_and_leaves_the_other_figures():
    short = [sample for sample in PLAYED.a if sample[0] < BOUGHT - 5]
    found = figures(replace(PLAYED, a=short, broken=1, enforced_ms=None, over_ms=None), 95)
    assert set(found) == KEYS
    assert (found["connections_broken"], found["push_to_enforced_ms"], found["end_error_ms"]) == (1, None, None)
    assert found["after"] == pytest.approx({"a_kBps": 0, "b_kBps": 144})
    assert "connections_broken           1" in table(found)
    assert "1 of 2 connections broke; no packet was seen in the new class" in missed(found, 120)


def test_steps_are_told_in_their_order_with_what_was_not_left_out():
    told = [(step.ms, step.who) for step in steps(TIMELINE, 50_000, 50_410)]
    assert told == [(0, "manager"), (10, "router"), (100, "router"), (400, "service"), (410, "kernel")]
    assert [step.ms for step in steps(TIMELINE, 50_000, None)] == [0, 10, 100, 400]


def test_the_table_shows_what_there_is_and_what_should_be():
    lines = [line.split() for line in table(figures(PLAYED, 95)).splitlines()]
    assert lines[1:4] == [
        ["before", "72.0", "72.0", "75,", "75"],
        ["after", "191.0", "144.0", "200,", "150"],
        ["ended", "72.0", "72.0", "75,", "75"],
    ]
    assert lines[-1] == ["seconds", "95"]


GOOD = figures(PLAYED, 95)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, None),
        ({"before": {"a_kBps": 67.5, "b_kBps": 82.5}}, None),
        ({"before": {"a_kBps": 67.4, "b_kBps": 75}}, "before, mirror A gave 67.4 kB/s and not 75 within 10%"),
        ({"after": {"a_kBps": 186, "b_kBps": 160.5}}, None),
        ({"after": {"a_kBps": 185.9, "b_kBps": 150}}, "after, mirror A gave 185.9 kB/s and not 200 within 7%"),
        ({"after": {"a_kBps": 200, "b_kBps": 160.6}}, "after, mirror B gave 160.6 kB/s and not 150 within 7%"),
        ({"ended": {"a_kBps": 75, "b_kBps": 82.6}}, "ended, mirror B gave 82.6 kB/s and not 75 within 10%"),
        ({"connections_broken": 2}, "2 of 2 connections broke"),
        ({"seconds": 120.0}, None),
        ({"seconds": 120.1}, "it took 120.1 s and not 120 at the most"),
    ],
)
def test_what_is_missed_is_said_in_a_sentence(change, sentence):
    assert missed(GOOD | change, 120) == sentence


def test_the_papers_length_may_take_its_time():
    assert missed(GOOD | {"seconds": 460.0}, None) is None


@pytest.mark.parametrize(("broken", "status"), [(0, 0), (1, 1)])
def test_the_demo_writes_its_figures_and_ends_with_its_verdict(tmp_path, monkeypatch, capsys, broken, status):
    monkeypatch.setattr(demo, "play", lambda times, teller: replace(PLAYED, broken=broken))
    monkeypatch.setattr(demo, "draw", lambda story, folder: None)
    monkeypatch.setattr(demo, "time", SimpleNamespace(monotonic=lambda: 95.0))
    assert demo.main(["--output", str(tmp_path / "demo")]) == status
    assert set(json.loads((tmp_path / "demo/figure3.json").read_text())) == KEYS
    said = capsys.readouterr().err.splitlines()
    assert said == (["the demo missed its goals: 1 of 2 connections broke"] if broken else [])


@pytest.mark.system
def test_the_picture_is_drawn(tmp_path):
    """Both files, with what the story says in the one that can be read; also of a download that broke."""
    broken = [sample for sample in PLAYED.a if sample[0] < BOUGHT]
    for played in (PLAYED, replace(PLAYED, a=broken, enforced_ms=None)):
        told = story(played)
        assert isinstance(told, Story)
        draw(told, tmp_path)
        assert (tmp_path / "figure3.png").read_bytes().startswith(b"\x89PNG")
        text = re.sub(r"\s+", " ", (tmp_path / "figure3.svg").read_text())
        assert "mirror A" in text
        assert ("first packet counted, 410 ms" in text) == (played is PLAYED)
