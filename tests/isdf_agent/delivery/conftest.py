"""The modules beside the tests are imported by their names; and no test waits for a disk."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import Router
from simulator import Operator


@pytest.fixture
def operator():
    """One that has sold the service tv."""
    operator = Operator()
    operator.subscribe("tv", config={"rate": 1})
    return operator


@pytest.fixture
def router(tmp_path, operator):
    """A router in memory, of that operator."""
    return Router(tmp_path, operator)


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    """A test takes away processes, never the power; fsync would cost half of the time."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
