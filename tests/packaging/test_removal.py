"""The agent's package goes with all that it made, and an upgrade leaves it."""

import os
import subprocess

import pytest

pytestmark = pytest.mark.system

STEPS = ("/usr/lib/isdf/push-rule", "/etc/init.d/isdf-agent", "/usr/bin/isdf-agent")
SCRIPT = '#!/bin/sh\necho "$0 $@" >> {log}\nexit {status}\n'


@pytest.fixture
def remove(built, tmp_path):
    """`remove(status=0, **environment)`: what the script called, in programs that exit with `status`."""

    def run(status=0, **environment):
        log = tmp_path / "log"
        script = built["isdf-agent"].script("prerm").read_text()
        for step in STEPS:
            place = tmp_path / step[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(SCRIPT.format(log=log, status=status))
            place.chmod(0o755)
            script = script.replace(step, str(place))
        done = subprocess.run(["sh", "-c", script], env={**os.environ, "IPKG_INSTROOT": "", **environment})
        assert done.returncode == 0
        return log.read_text().replace(str(tmp_path), "").splitlines() if log.exists() else []

    return run


def test_the_agent_ends_before_what_it_made_is_taken_away(remove):
    assert remove() == [
        "/usr/lib/isdf/push-rule remove",
        "/etc/init.d/isdf-agent stop",
        "/usr/bin/isdf-agent teardown",
    ]


def test_a_step_that_fails_keeps_neither_the_others_nor_the_package(remove):
    assert len(remove(status=1)) == 3


@pytest.mark.parametrize("environment", [{"PKG_UPGRADE": "1"}, {"IPKG_INSTROOT": "/image"}])
def test_an_upgrade_and_an_image_leave_all_as_it_is(remove, environment):
    assert remove(**environment) == []
