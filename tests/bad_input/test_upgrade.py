"""A new version that does not come up fails with a sentence, and the version before is there again."""

from __future__ import annotations

import pytest

from bad_input.broken import BROKEN

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def before(isp):
    """Good services, each of which then got a second version that is broken; their classes before that."""
    isp.desk(*map(isp.publishing, BROKEN), *map(isp.selling, BROKEN))
    isp.pull()
    classes = {name: isp.classes(name) for name in BROKEN}
    isp.desk(*(isp.publishing(name, code, version="2.0.0") for name, (code, _) in BROKEN.items()))
    isp.pull()
    return classes


@pytest.mark.parametrize("name", BROKEN)
def test_an_upgrade_that_does_not_come_up_gives_way_to_the_version_before(isp, before, name):
    told = isp.told(name)
    assert (told["state"], told["version"]) == ("running", "1.0.0")
    assert told["error"].startswith("2.0.0 does not start, 1.0.0 runs on: ")
    assert BROKEN[name][1] in told["error"]
    assert len(isp.pids(name)) == 1
    assert isp.classes(name) == before[name]
    assert before[name].keys() == {"lane"}
