"""opkg asked, configured, locked out and misused.

Each answer is that of OpenWrt's opkg; the stand-in must give the same.
"""

import fcntl
import os
import re
import time

import pytest

from openwrt.opkg_fixtures import FOLDER, INSTALLED, X, complaints

pytestmark = pytest.mark.system


def test_questions_change_nothing(router, feed):
    router.opkg("update")
    router.opkg("install", X)
    before = (router.root / "usr/lib/opkg/status").read_bytes()
    assert router.opkg("list-installed") == (0, ["isdf-agent - 0.1.0", f"{X} - 1.0.0"], [])
    assert router.opkg("list-installed", "isdf-service-*")[1] == [f"{X} - 1.0.0"]
    assert router.opkg("list") == (0, ["isdf-agent - 0.1.0", f"{X} - 1.0.0 - A service"], [])
    assert router.opkg("files", X) == (
        0,
        [f"Package {X} (1.0.0) is installed on root and has the following files:", f"ROOT{FOLDER}/service.py"],
        [],
    )
    status, out, _ = router.opkg("status", X)
    assert (status, out[:-1]) == (0, [f"{name}: {value}" for name, value in INSTALLED.items()])
    assert out[-1].startswith("Installed-Time: ")
    status, out, _ = router.opkg("info", X)
    size = len(feed.file.read_bytes())
    assert (status, out[5:8]) == (0, [f"Size: {size}", f"Filename: {feed.file.name}", "Description: A service"])
    assert (router.root / "usr/lib/opkg/status").read_bytes() == before


def test_versions_are_compared(router):
    for words, status in ((("1.0", "<<", "1.1"), 0), (("1.0", ">>", "1.1"), 1), (("1.0~rc1", "<<", "1.0"), 0)):
        assert router.opkg("compare-versions", *words)[0] == status
    assert router.opkg("print-architecture") == (0, ["arch all 1"], [])


def test_a_lock_that_another_holds_is_said_and_nothing_is_done(router, feed):
    lock = os.open(router.root / "var/lock/opkg.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert router.opkg("install", feed.file) == (
            255,
            [],
            complaints("opkg_conf_load: Could not lock ROOT/var/lock/opkg.lock: Resource temporarily unavailable."),
        )
    finally:
        os.close(lock)
    assert router.opkg("install", feed.file)[0] == 0
    assert not (router.root / "var/lock/opkg.lock").exists()


def test_no_folder_for_the_lock_is_an_error(router):
    (router.root / "var/lock").rmdir()
    assert router.opkg("update") == (
        255,
        [],
        complaints("opkg_conf_load: Could not create lock file ROOT/var/lock/opkg.lock: No such file or directory."),
    )


def test_its_temporary_folder_is_gone_at_the_end(router, feed):
    router.opkg("update")
    router.opkg("install", X)
    assert list((router.root / "tmp").iterdir()) == []


def test_the_lists_folder_can_be_given(router):
    router.conf.write_text(re.sub("lists_dir.*\n", "", router.conf.read_text()))
    assert router.opkg("-l", "/other", "update")[0] == 0
    assert (router.root / "other/isdf").exists()
    assert router.opkg("update")[0] == 0
    assert (router.root / "usr/lib/opkg/lists/isdf").exists()


def test_what_it_does_not_know_in_its_configuration_it_says(router):
    lines = "option frobnicate 1\nsrc isdf http://elsewhere\nfrobnicate x y\n# a comment\n\noption check_signature 1\n"
    router.conf.write_text(router.conf.read_text() + lines)
    status, _, errors = router.opkg("update")
    assert status == 0
    assert errors == complaints(
        "opkg_conf_set_option: Unrecognized option: frobnicate=1",
        "opkg_conf_parse_file: Duplicate src declaration (isdf http:/elsewhere). Skipping.",
        "opkg_conf_parse_file: ROOT/opkg.conf:9: Ignoring invalid line: `frobnicate x y'",
        "opkg_conf_set_option: Duplicate boolean option check_signature, leaving this option on.",
    )


def test_scripts_stay_away_from_another_root_unless_forced(router, feed, opkg):
    router._opkg = ["env", "-u", "IPKG_INSTROOT", *opkg]
    argv = [*opkg, "-f", str(router.conf), "-o", str(router.root), "install", str(feed.file)]
    assert os.spawnvp(os.P_WAIT, argv[0], argv) == 0
    assert (router.root / "etc/passwd").read_text().count("\n") == 1
    assert router.status()[X]["Status"] == "install user installed"


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["install"], ["--frobnicate", "update"]])
def test_wrong_use_ends_with_1(router, words):
    status, out, errors = router.opkg(*words)
    assert (status, out[0]) == (1, "usage: opkg [options...] sub-command [arguments...]")
    assert errors


def test_an_installed_package_without_a_file_list_is_said_before_each_change(router, feed):
    (router.root / "usr/lib/opkg/info/isdf-agent.list").unlink()
    said = complaints(
        "pkg_get_installed_files: Failed to open ROOT/usr/lib/opkg/info/isdf-agent.list: No such file or directory."
    )
    assert router.opkg("install", feed.file)[::2] == (0, said)
    assert router.opkg("upgrade", X)[::2] == (0, said)
    assert router.opkg("download", X)[2][:2] == said
    assert router.opkg("remove", X)[::2] == (0, said)
    assert router.opkg("list-installed")[2] == []


def test_a_dry_run_changes_nothing(router, feed):
    def found():
        return {str(p): p.is_file() and p.read_bytes() for p in router.root.rglob("*") if p.name != "lists"}

    before = found()
    assert router.opkg("--noaction", "install", feed.file)[0] == 0
    assert found() == before
    router.opkg("install", feed.file)
    before = found()
    assert router.opkg("--noaction", "remove", X) == (0, [f"Removing package {X} from root..."], [])
    assert found() == before


def test_it_starts_quickly(router, feed):
    """Several starts stand between a push and its effect."""
    durations = []
    for _ in range(3):
        began = time.perf_counter()
        assert router.opkg("update")[0] == 0
        assert router.opkg("download", X)[0] == 0
        durations.append(time.perf_counter() - began)
    assert min(durations) < 0.5  # 0.08 s on the machine it was written on, the check of a signature included
