"""The stand-in for opkg from within: versions, options, what it does not know."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwrt.opkg import versions
from openwrt.opkg.command_line import main
from openwrt.opkg.settings import Settings
from openwrt.router import package

version_texts = st.builds("{}{}".format, st.integers(0, 20), st.text("0129abz.~+", max_size=6))


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


def test_a_package_with_what_it_does_not_know_is_said(tmp_path, capsys):
    file, conf = tmp_path / "x.ipk", tmp_path / "opkg.conf"
    file.write_bytes(package("isdf-service-y", Conflicts="busybox"))
    conf.write_text("dest root /\narch all 1\n")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "var/lock").mkdir(parents=True)
    assert main(["-f", str(conf), "-o", str(tmp_path), "install", str(file)]) == 0
    assert "has Conflicts, which the stand-in does not know" in capsys.readouterr().err


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
