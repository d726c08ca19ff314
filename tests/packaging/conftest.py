"""All packages of the feed, built once for these tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import packages


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Each package by its name."""
    made = (packages.build(f, tmp_path_factory.mktemp(f.name)) for f in packages.found())
    return {package.control["Package"]: package for package in made}
