"""The modules beside the tests are imported by their names."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from supervised import Router


@pytest.fixture
def router(tmp_path):
    return Router(tmp_path)
