"""Figures go to build/bench/NAME.json, and to the terminal."""

import json
from pathlib import Path

import pytest

FOLDER = Path("build/bench")


@pytest.fixture
def write(capsys):
    """`write(name, figures)`: the figures of one bench."""

    def written(name: str, figures: dict) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = json.dumps(figures, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n")
        with capsys.disabled():
            print(f"\n{name}.json {text}")

    return written
