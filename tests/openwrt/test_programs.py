"""Which program is started: with OPENWRT_ROOT no stand-in."""

import re

import pytest

from openwrt import programs

PARTS = ("ubusd", "ubus", "opkg", "usign")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """OPENWRT_ROOT with programs that can be started."""
    for place in ("sbin/ubusd", "bin/ubus", "bin/opkg", "usr/bin/usign", "sbin/procd"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
    monkeypatch.setenv("OPENWRT_ROOT", str(tmp_path))
    monkeypatch.delenv("OPENWRT_COMPARE", raising=False)
    return tmp_path


def words():
    """All argv that tests and homes get, as text."""
    return {name: str([programs.program(name), *programs.choices(name).values()]) for name in PARTS}


@pytest.mark.usefixtures("tree")
def test_with_openwrt_root_nobody_is_told_how_a_stand_in_is_started():
    for name, told in words().items():
        assert str(programs.HERE) not in told
        assert "openwrt." not in told
        assert list(programs.choices(name)) == ["openwrt"]


def test_without_it_everybody_gets_the_stand_in_whatever_is_installed(tree, monkeypatch):
    monkeypatch.setenv("PATH", f"{tree}/bin:{tree}/sbin")
    monkeypatch.delenv("OPENWRT_ROOT")
    for name, told in words().items():
        assert str(tree) not in told
        assert list(programs.choices(name)) == ["stand-in"]
        assert programs.real(name) is None


def test_a_comparison_has_both(tree, monkeypatch):
    monkeypatch.setenv("OPENWRT_COMPARE", "1")
    for name in PARTS:
        assert list(programs.choices(name)) == ["stand-in", "openwrt"]
        assert programs.program(name)[0].startswith(str(tree))


def test_a_tree_that_lacks_a_program_is_an_error_and_no_reason_for_a_stand_in(tree):
    (tree / "bin/opkg").unlink()
    for ask in (programs.program, programs.choices):
        with pytest.raises(LookupError, match="has no opkg in sbin, bin"):
            ask("opkg")
    (tree / "sbin/procd").chmod(0o644)
    assert programs.real("procd") is None


def test_no_file_elsewhere_says_how_a_stand_in_is_started():
    naming = re.compile(r"-m.{1,9}openwrt\.(ubusd|ubus)\b|openwrt/(opkg|usign\.py|ubusd?\.py)\b|_STAND_INS")
    here, tests = programs.HERE, programs.HERE.parent
    files = [path for path in tests.rglob("*.py") if here not in path.parents and naming.search(path.read_text())]
    assert files == []
