"""For all tests: what they take from the environment, and that a property test may take its time."""

import os
import re
from pathlib import Path

from hypothesis import settings

# Not everybody has the administrator's programs in his path; and who has these set meets no output that
# waits, and no program of ours that is compiled.
os.environ["PATH"] += ":/usr/sbin:/sbin"
os.environ.pop("PYTHONUNBUFFERED", None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The machine may be busy with others.
settings.register_profile("unhurried", deadline=None, database=None)
settings.load_profile("unhurried")

_SYSTEM = re.compile(r"^pytestmark = \[?pytest\.mark\.system", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config) -> bool | None:
    """What holds system tests alone is not read for the others: that would take a third of their time."""
    if "not system" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return bool(_SYSTEM.search(collection_path.read_text())) or None


def pytest_collection_modifyitems(items: list) -> None:
    """The module that takes longest first, so that what runs beside each other ends together."""
    items.sort(key=lambda item: item.path.name != "test_cut.py")
