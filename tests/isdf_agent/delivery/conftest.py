"""The modules beside the tests are imported by their names; and no test waits for a disk."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    """A test takes away processes, never the power; fsync would cost half of the time."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
