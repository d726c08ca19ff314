"""A first version that does not come up fails with a sentence, and leaves nothing."""

from __future__ import annotations

import pytest

from bad_input.broken import BROKEN
from premises.host import wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def sold(isp):
    """All of them, sold at once."""
    isp.desk(*(isp.publishing(name, code) for name, (code, _) in BROKEN.items()))
    isp.desk(*(isp.selling(name) for name in BROKEN))
    isp.pull()


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize("name", BROKEN)
def test_a_first_version_that_does_not_come_up_says_why_and_leaves_nothing(isp, name):
    told = isp.told(name)
    assert told["state"] == "failed"
    assert BROKEN[name][1] in told["error"]
    assert isp.classes(name) == {}
    wait_until(lambda: isp.pids(name) == [], 10, "the end of its process")
    assert not isp.router.path(f"/usr/lib/isdf/services/{name}/service.py").exists()


@pytest.mark.usefixtures("sold")
def test_status_says_why_in_the_row_of_each_service_alone(isp):
    lines = isp.manager("status").stdout.splitlines()
    for name, (_, words) in BROKEN.items():
        assert [words in line for line in lines if f" {name} " in line] == [True], name
    assert lines[1].endswith("no end")


LAST_WORDS = {  # name: exit status, and what the log ends with
    "dies": (137, ""),
    "misspelt": (None, "NameError: name 'unknown_name' is not defined (service.py, line 5)"),
    "raises": (None, "ValueError: this cannot be (service.py, line 8)"),
    "hangs": (None, ""),
}


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize("name", LAST_WORDS)
def test_the_operator_reads_how_it_ended_and_what_it_said_last(isp, name):
    status, words = LAST_WORDS[name]
    wait_until(lambda: (isp.told(name)["log"] or "").endswith(words), 20, "its words")
    assert isp.told(name)["exit"] == status
