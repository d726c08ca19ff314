"""Figures go to build/bench/NAME.json, and to the terminal."""

import json
from pathlib import Path

import pytest

FOLDER = Path("build/bench")


@pytest.fixture
def write(capsys):
    """`write(name, figures)`: the figures of one bench; those that others wrote under the same name stay."""

    def written(name: str, figures: dict) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{name}.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | figures, indent=1) + "\n")
        with capsys.disabled():
            print(f"\n{name}.json {json.dumps(figures, indent=1)}")

    return written
