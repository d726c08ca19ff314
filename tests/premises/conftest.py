"""Two homes, built once for all tests that only look at them or put back what they change."""

from __future__ import annotations

import pytest

from premises.premises import Premises


@pytest.fixture(scope="session")
def net():
    with Premises(homes=2) as premises:
        yield premises
