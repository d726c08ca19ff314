"""What a reviewer of OpenWrt's packages stumbles over: Makefiles, versions, licences, scripts, names of files."""

import json
import re
import subprocess

import packages
import pytest
from packages import ROOT

pytestmark = pytest.mark.system

FOUND = packages.found()
SCRIPTS = sorted(p for p in (ROOT / "package").glob("*/files/*") if p.read_text().startswith("#!/bin/sh"))
# Versions that opkg and apk both take: apk refuses 1.2.3-rc1, 1.2.3.dev4 and 1.2.3+x.
VERSION = re.compile(r"\d+(\.\d+)*(_(alpha|beta|pre|rc|p)\d*)?(-r\d+)?")


def code(makefile):
    return [line for line in makefile.read_text().splitlines() if line and not line.startswith("#")]


def named(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in paths]


def test_the_scanner_finds_the_packages_and_nothing_else():
    services = sorted(str(p.parent.relative_to(ROOT)) for p in (ROOT / "feed").glob("*/service.yaml"))
    assert sorted(str(f.relative_to(ROOT)) for f in FOUND) == [*services, "package/isdf-agent", "package/python-isdf"]


def test_every_service_is_found():
    assert {p.parent for p in (ROOT / "feed").glob("*/service.py")} <= set(FOUND)


def test_other_makefiles_and_fixtures_do_not_have_the_words():
    others = [p for p in packages.tracked() if p.name == "Makefile" and p.parent not in FOUND]
    assert ROOT / "Makefile" in others
    assert not [p for p in others if "BuildPackage" in p.read_text()]


@pytest.mark.parametrize("folder", named(FOUND))
def test_a_makefile_calls_buildpackage_in_so_many_words_and_names_its_licence(folder):
    text = (folder / "Makefile").read_text()
    assert text.startswith("# SPDX-License-Identifier: GPL-2.0-or-later\n")
    assert any(packages.SIGNATURE in line for line in code(folder / "Makefile"))


@pytest.mark.parametrize("folder", named(f for f in FOUND if f.parent.name == "feed"))
def test_a_services_makefile_is_three_lines(folder):
    first = (ROOT / "feed/pay-per-site/Makefile").read_text()
    assert (folder / "Makefile").read_text() == first
    assert len(code(folder / "Makefile")) == 3


@pytest.mark.parametrize("folder", named([*FOUND, ROOT]))
def test_metadata_is_indented_by_two_blanks_recipes_by_a_tab_and_lists_by_nothing(folder):
    lines = (folder / ("buildroot.mk" if folder == ROOT else "Makefile")).read_text().splitlines()
    part = None
    for number, line in enumerate(lines, 1):
        assert line == line.rstrip(), number
        if line.startswith("define "):
            part = line.split()[1]
        elif line == "endef":
            part = None
        elif part and line and not line.startswith("#"):
            name = part.split("/")[-1]
            if name == "install" or part == "IsdfPython":
                assert line.startswith("\t"), number
            elif name in ("conffiles", "postinst", "prerm", "IsdfCompile", "IsdfForget", "IsdfService"):
                assert not line.startswith((" ", "\t")), number
            elif name != "description":
                assert re.match(r"  \S", line) or line.startswith("\t+"), number


def test_versions_are_such_that_opkg_and_apk_take(built):
    assert built
    for package in built.values():
        assert VERSION.fullmatch(package.control["Version"]), package.control


def test_packages_are_for_all_architectures_and_have_a_licence(built):
    for package in built.values():
        assert (package.control["Architecture"], package.control["License"]) == ("all", "GPL-2.0-or-later")


@pytest.mark.parametrize("script", named(SCRIPTS))
def test_a_shell_script_parses_and_names_its_licence(script):
    assert "# SPDX-License-Identifier: GPL-2.0-or-later\n" in script.read_text()
    subprocess.run(["sh", "-n", script], check=True)
    checked = subprocess.run(["shellcheck", "-s", "dash", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_scripts_of_packages_parse(built):
    scripts = [p.script(name) for p in built.values() for name in ("postinst", "prerm") if p.script(name).exists()]
    assert len(scripts) == 4
    for script in scripts:
        assert "${IPKG_INSTROOT}" in script.read_text()
        subprocess.run(["sh", "-n", script], check=True)


def test_every_file_of_a_package_is_used():
    makefile = (ROOT / "package/isdf-agent/Makefile").read_text()
    used = set(re.findall(r"\./files/(\S+)", makefile))
    assert used == {p.name for p in (ROOT / "package/isdf-agent/files").iterdir()}


def test_json_files_are_json_and_ubusd_takes_the_acl(built):
    acl = json.loads((built["isdf-agent"].root / "usr/share/acl.d/isdf.json").read_text())
    assert acl["group"] == "isdf"
    assert set(acl) <= {"user", "group", "access", "subscribe", "publish", "listen", "send", "inherit"}
    for package in built.values():
        for path in package.files:
            if path.endswith(".json"):
                json.loads((package.root / path[1:]).read_text())
