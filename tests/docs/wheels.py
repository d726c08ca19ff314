"""Wheels of what the manager needs, fetched once, so that a host without Internet can play `pip install`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def folder() -> Path:
    """The folder with the wheels for the Python that runs this; the project itself is not among them."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needs = [*project["project"]["optional-dependencies"]["manager"], *project["build-system"]["requires"]]
    mark = hashlib.sha256(json.dumps([needs, sys.version_info[:2]]).encode()).hexdigest()[:16]
    made = CHECKOUT / "build/wheels" / mark
    if not made.exists():
        beside = made.with_name(f"{mark}.{os.getpid()}")
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "-w", beside, *needs], check=True)
        beside.rename(made)
    return made
