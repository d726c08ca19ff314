"""Figures go to build/bench/NAME.json, and to the terminal; `goals` says afterwards what they should be."""

import json
import sys
from pathlib import Path

import pytest

from bench.goals import FOLDER, GOALS

# The router in memory of these tests, whose modules are imported by their names, is that of `test_wear`.
sys.path.insert(0, str(Path(__file__).parents[1] / "isdf_agent/delivery"))


@pytest.fixture
def write(capsys):
    """`write(name, figures)`: the figures of one bench; those that others wrote under the same name stay."""

    def written(name: str, figures: dict) -> None:
        assert name != "delivery" or figures.keys() <= GOALS[name].keys()
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{name}.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | figures, indent=1) + "\n")
        with capsys.disabled():
            print(f"\n{name}.json {json.dumps(figures, indent=1)}")

    return written
