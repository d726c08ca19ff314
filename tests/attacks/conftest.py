"""Who is attacked: one ISP and one home for all tests here; and the outcome of each attack, in build/attacks.json."""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path

import pytest

from attacks.home import Home
from attacks.isp import Isp, SecureIsp
from attacks.table import ATTACKS, OUTCOMES

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests" / "isdf_agent" / "delivery"))  # for `simulator`, an operator in memory


def pytest_configure(config):
    config.addinivalue_line("markers", "attack(name): the attack of the table that the test tries")


def pytest_itemcollected(item):
    for mark in item.iter_markers("attack"):
        if mark.args[0] not in ATTACKS:
            raise pytest.UsageError(f"{item.nodeid}: attack {mark.args[0]!r} is not in tests/attacks/table.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """An attack counts as refused when its test passed as a whole, its positive control too, in each of its forms."""
    report = yield
    outcomes = item.session.stash.setdefault(_OUTCOMES, {})
    for mark in item.iter_markers("attack"):
        if report.failed:
            outcomes[mark.args[0]] = "succeeded"
        elif report.when == "call" and report.passed:
            outcomes.setdefault(mark.args[0], "refused")
    return report


def pytest_sessionfinish(session):
    write(session.stash.get(_OUTCOMES, {}))


_OUTCOMES = pytest.StashKey[dict[str, str]]()


def write(outcomes: dict[str, str]) -> None:
    """Put the outcomes of this run beside those of others, of which several may end at the same time."""
    if not outcomes:
        return
    OUTCOMES.parent.mkdir(exist_ok=True)
    with OUTCOMES.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            known = json.load(file)
        except ValueError:
            known = {}
        merged = {name: outcome for name, outcome in (known | outcomes).items() if name in ATTACKS}
        file.seek(0)
        file.truncate()
        json.dump(merged, file, indent=1, sort_keys=True)
        file.write("\n")


@pytest.fixture(scope="session")
def isp(tmp_path_factory):
    """A manager that serves, and sells the service `tv`."""
    with Isp(tmp_path_factory.mktemp("isp")) as made:
        made.publish()
        made.serve()
        yield made


@pytest.fixture(scope="session")
def secure_isp(tmp_path_factory):
    """The same with TLS."""
    with SecureIsp(tmp_path_factory.mktemp("secure")) as made:
        made.publish()
        made.serve()
        yield made


@pytest.fixture(scope="session")
def _home(isp, tmp_path_factory):
    uci = isp.add("home1")
    isp.sell("home1")
    with Home(tmp_path_factory.mktemp("home"), uci, isp.relay) as made:
        made.start()
        yield made


@pytest.fixture
def home(isp, _home):
    """A home on which `tv` runs, as the manager wants it."""
    if not _home.in_order(tv=isp.versions["tv"]):
        _home.takes(tv=isp.publish())
    return _home
