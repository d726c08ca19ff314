"""The stand-in for opkg by itself: versions, addresses, its limits, its start."""

import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwrt.opkg import versions
from openwrt.opkg.command_line import main
from openwrt.opkg.settings import Settings
from openwrt.opkg_fixtures import X
from openwrt.programs import STAND_INS
from openwrt.router import Router

version_texts = st.builds("{}{}".format, st.integers(0, 20), st.text("0129abz.~+", max_size=6))


@pytest.fixture
def opkg():
    return STAND_INS["opkg"]


@pytest.mark.system
@settings(max_examples=60, deadline=None)
@given(version_texts, version_texts)
def test_versions_have_dpkgs_order(one, other):
    order = versions.compare(one, other)
    relation = "lt" if order < 0 else "gt" if order > 0 else "eq"
    assert subprocess.run(["dpkg", "--compare-versions", one, relation, other]).returncode == 0
    assert versions.compare(other, one) == -order or (versions.compare(other, one) < 0) == (order > 0)


@pytest.mark.parametrize(
    ("one", "operator", "other"),
    [
        ("1.0.0", "<<", "1.0.1"), ("1.0.0_rc1", ">>", "1.0.0"), ("1.9", "<<", "1.10"), ("1.0-r2", "<<", "1.0-r10"),
        ("1:0.1", ">>", "9"), ("1.0", ">=", "1.0"), ("1.0", "<", "1.0"), ("1.0~", "<<", "1.0"), ("01", "=", "1"),
    ],
)  # fmt: skip
def test_examples_of_the_order(one, operator, other):
    assert versions.satisfies(one, operator, other)


@pytest.mark.system
def test_a_package_with_what_it_does_not_know_is_said(router, feed):
    _, _, errors = router.opkg("install", feed.add("isdf-service-y", Conflicts="busybox"))
    assert any("has Conflicts, which the stand-in does not know" in line for line in errors)


@pytest.mark.system
def test_a_feed_may_be_a_folder_or_want_a_password(tmp_path, feed, opkg):
    feed.add(X)
    feed.publish()
    for number, url in enumerate((f"file:{feed.path}", feed.url.replace("//", "//user:secret@"))):
        router = Router(tmp_path / str(number), feed, opkg)
        router.conf.write_text(router.conf.read_text().replace(feed.url, url))
        assert router.opkg("update")[0] == 0
        assert router.opkg("list") == (0, [f"{X} - 1.0.0 - A service"], [])


def test_options_stand_anywhere(capsys, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(Settings, "load", lambda self: seen.update(vars(self)))
    monkeypatch.setattr(Settings, "release", lambda self: None)
    words = [
        "compare-versions",
        "-f",
        "conf",
        "1",
        "--force_depends",
        "<<",
        "-oroot",
        "2",
        "-V0",
        "--add-arch",
        "all:1",
    ]
    assert main([*words, "-force-overwrite", "--tmp-dir=tmp"]) == 0
    assert (seen["conf_file"], seen["architectures"]) == ("conf", [("all", 1)])
    assert seen["flags"] == {"force_depends", "force_overwrite"}
    assert seen["values"] == {"offline_root": "root", "tmp_dir": "tmp"}


@pytest.mark.system
def test_it_starts_quickly(router, feed):
    durations = []
    for _ in range(3):
        began = time.perf_counter()
        assert router.opkg("update")[0] == 0
        assert router.opkg("download", X)[0] == 0
        durations.append(time.perf_counter() - began)
    assert min(durations) < 0.5  # 0.08 s on the machine it was written on, the check of a signature included
