"""The table at the end of `make bench`: what is to be there, and what counts as met."""

import json
import re

import pytest

from bench import goals
from bench.goals import GOALS, Goal, table

DELIVERY = """
push_to_enforced_ms_p50 push_to_enforced_ms_p95 push_to_enforced_ms_p99 push_to_enforced_loss5_ms_p95 pull_304_per_s
pull_forged_per_s pull_ms_unchanged pull_ms_install ubus_calls_per_s agent_anon_idle_mb service_anon_mb agent_pss_mb
agent_cpu_idle_pct homes_100_all_enforced_s flash_kb_per_day_idle
"""


def good():
    """Figures that meet each goal just so."""

    def figure(goal):
        limits = [limit for limit in (goal.least, goal.most) if limit is not None]
        return limits if len(limits) == 2 else limits[0] if limits else 7

    return {file: {name: figure(goal) for name, goal in wanted.items()} for file, wanted in GOALS.items()}


def test_delivery_has_these_figures_and_no_other():
    assert list(GOALS["delivery"]) == DELIVERY.split()


@pytest.mark.parametrize(
    ("goal", "figure", "met"),
    [
        (Goal(), 1e9, True),
        (Goal(most=5), 5, True),
        (Goal(most=5), 5.01, False),
        (Goal(least=1000), 1000, True),
        (Goal(least=1000), 999, False),
        (Goal(67.5, 82.5), [67.5, 82.5], True),
        (Goal(67.5, 82.5), [67.4, 82.5], False),
        (Goal(67.5, 82.5), [67.5, 82.6], False),
    ],
)
def test_a_goal_is_a_limit_that_is_met_by_all(goal, figure, met):
    assert goal.met(figure) is met


def test_all_is_well_when_each_figure_is_there_and_meets_its_goal():
    lines, well = table(good())
    assert well
    assert len(lines) == 1 + sum(map(len, GOALS.values()))
    assert re.split(r"  +", lines[2]) == ["push_to_enforced_ms_p95", "1000", "at most 1000", "yes"]
    assert re.split(r"  +", lines[1]) == ["push_to_enforced_ms_p50", "7"]
    assert re.split(r"  +", lines[-1])[1:] == ["67.5 to 82.5", "67.5 to 82.5", "yes"]


def test_a_figure_that_misses_its_goal_or_is_missing_is_shown_beside_the_others():
    figures = good()
    figures["delivery"]["pull_304_per_s"] = 998.4
    del figures["delivery"]["pull_ms_install"], figures["wear"]
    lines, well = table(figures)
    assert not well
    bad = [re.split(r"  +", line) for line in lines if line.endswith("NO")]
    assert bad == [
        ["pull_304_per_s", "998.4", "at least 1000", "NO"],
        ["pull_ms_install", "missing", "NO"],
        ["writes_per_day_idle", "missing", "at most 24", "NO"],
    ]


@pytest.mark.parametrize("files", ["all", "some"])
def test_the_command_reads_what_was_written_and_ends_with_the_verdict(tmp_path, monkeypatch, capsys, files):
    monkeypatch.setattr(goals, "FOLDER", tmp_path)
    for name, figures in good().items():
        if files == "all" or name != "shares":
            (tmp_path / f"{name}.json").write_text(json.dumps(figures))
    assert goals.main() == (files == "some")
    said = capsys.readouterr()
    assert "flash_kb_per_day_idle" in said.out
    assert bool(said.err) == (files == "some")
