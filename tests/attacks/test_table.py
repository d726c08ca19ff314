"""The table is complete: each attack in it is tried by a test, and said of it is in docs/security.md what follows."""

import re
from pathlib import Path

from attacks.table import ATTACKS

HERE = Path(__file__).parent
SECURITY = HERE.parents[1] / "docs" / "security.md"


def test_every_attack_is_tried():
    text = "".join(path.read_text() for path in [*HERE.glob("test_*.py"), HERE / "spy.py"])
    tried = re.findall(r'attack\("([a-z0-9-]+)"\)', text)
    tried += re.findall(r'^    "(ipk-[a-z0-9-]+)": \(', text, re.M)
    tried += re.findall(r'@attempt\("([a-z0-9-]+)"\)', text)
    assert sorted(tried) == sorted(ATTACKS)


def test_there_are_enough():
    assert len(ATTACKS) > 60


def test_the_document_names_every_attack_and_no_other():
    named = re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", SECURITY.read_text())
    assert sorted(set(named)) == sorted(ATTACKS)
