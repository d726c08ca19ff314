"""The firewall's rule for the push: from the manager's addresses alone, written only when something differs."""

import os
import subprocess
import sys

import pytest
from packages import ROOT

from premises import uci

pytestmark = pytest.mark.system

SCRIPT = (ROOT / "package/isdf-agent/files/push-rule.sh").read_text()
FIREWALL = "config zone\n\toption name 'wan'\n\tlist network 'wan'\n"
RULE = {
    "name": "Allow-iSDF-Push",
    "src": "wan",
    "proto": "udp",
    "dest_port": "9009",
    "target": "ACCEPT",
    "src_ip": ["192.0.2.1", "2001:db8::1"],
}
UCI = """#!/bin/sh
echo "$@" >> {folder}/uci.log
exec {python} -S -c 'import sys, pathlib, premises.uci_command as u
u.FOLDER = pathlib.Path("{folder}")
sys.exit(u.main(sys.argv[1:]))' "$@"
"""


class Router:
    """A folder with /etc/config; `reloads` counts those of fw4."""

    def __init__(self, folder):
        self.folder = folder
        self.state, self.log, self.own = folder / "fw4.state", folder / "log", folder / "own"
        self.state.touch()
        (folder / "bin").mkdir()
        self._program("uci", UCI.format(python=sys.executable, folder=folder))
        self._program("fw4", f'#!/bin/sh\necho "$@" >> {self.log}\n')
        (folder / "firewall").write_text(FIREWALL)

    def _program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def configure(self, *push_from, port=None):
        lines = ["config agent 'agent'", *(f"\tlist push_from '{a}'" for a in push_from)]
        lines += [f"\toption push_port '{port}'"] if port else []
        (self.folder / "isdf").write_text("\n".join(lines) + "\n")

    def run(self, *words):
        environment = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "tests")}
        script = SCRIPT.replace("/var/run/fw4.state", str(self.state)).replace("/var/run/isdf-uci", str(self.own))
        done = subprocess.run(
            ["sh", "-c", script, "push-rule", *words], env=environment, capture_output=True, text=True, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    @property
    def reloads(self):
        return self.log.read_text().count("reload") if self.log.exists() else 0

    @property
    def rule(self):
        sections = uci.parse((self.folder / "firewall").read_text())
        assert [s.kind for s in sections][:1] == ["zone"]
        return next((s.options for s in sections if s.name == "isdf_push"), None)


@pytest.fixture
def router(tmp_path):
    return Router(tmp_path)


def test_what_a_user_changed_and_did_not_commit_is_left_to_him(router):
    router.configure("192.0.2.1")
    router.run()
    router.run("remove")
    calls = (router.folder / "uci.log").read_text().splitlines()
    assert any("commit firewall" in call for call in calls)
    assert all(call.startswith(f"-t {router.own} ") for call in calls)


def test_without_addresses_nothing_is_opened_and_nothing_written(router):
    router.configure()
    before = (router.folder / "firewall").stat().st_mtime_ns
    router.run()
    assert (router.folder / "firewall").stat().st_mtime_ns == before
    assert router.reloads == 0


def test_the_rule_names_the_managers_addresses_and_is_written_once(router):
    router.configure("192.0.2.1", "2001:db8::1")
    router.run()
    assert router.rule == RULE
    assert router.reloads == 1
    before = (router.folder / "firewall").stat().st_mtime_ns
    router.run()
    assert (router.folder / "firewall").stat().st_mtime_ns == before
    assert router.reloads == 1


def test_another_address_or_port_replaces_the_one_before_and_leaves_the_users_options(router):
    router.configure("192.0.2.1", "2001:db8::1")
    router.run()
    file = router.folder / "firewall"
    file.write_text(file.read_text().rstrip("\n") + "\n\toption enabled '0'\n")
    router.configure("192.0.2.9", port=9010)
    router.run()
    assert router.rule == {**RULE, "src_ip": ["192.0.2.9"], "dest_port": "9010", "enabled": "0"}
    assert router.reloads == 2


@pytest.mark.parametrize("words", [(), ("remove",)])
def test_the_rule_goes_with_the_addresses_and_with_the_package(router, words):
    router.configure("192.0.2.1")
    router.run()
    if not words:
        router.configure()
    router.run(*words)
    assert router.rule is None
    assert router.reloads == 2


@pytest.mark.parametrize("address", ["0/0", "192.0.2.0/24", "manager.example", "*", "::/0", "10", "!192.0.2.1"])
def test_what_is_no_address_opens_nothing_and_is_named(router, address):
    router.configure(address)
    assert f"push_from '{address}'" in router.run()
    assert router.rule is None


def test_a_firewall_that_is_not_up_yet_is_not_reloaded(router):
    router.state.unlink()
    router.configure("192.0.2.1")
    router.run()
    assert router.rule["src_ip"] == ["192.0.2.1"]
    assert router.reloads == 0
