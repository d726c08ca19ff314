"""What the packages bring to a router: files with their modes, fields, the same service as `publish` makes."""

import os
import shutil
import subprocess
import sys

import packages
import pytest
from packages import ROOT

from isdf import __version__
from isdf.formats import ipk
from isdf_manager import catalogue

pytestmark = pytest.mark.system

PYTHON = "/usr/lib/isdf/python"


def modules(folder):
    return {f"{PYTHON}/{p.relative_to(folder)}" for p in folder.rglob("*.py")}


def test_the_library_is_its_modules(built):
    package = built["python3-isdf"]
    assert set(package.files) == modules(ROOT / "package/python-isdf/src")
    assert set(package.files.values()) == {0o644}
    assert package.control["Version"] == f"{__version__}-r1"


def test_the_agent_is_its_modules_and_what_openwrt_needs_to_run_it(built):
    package = built["isdf-agent"]
    others = {p: m for p, m in package.files.items() if not p.startswith(PYTHON)}
    assert set(package.files) - set(others) == modules(ROOT / "package/isdf-agent/src")
    assert others == {
        "/etc/config/isdf": 0o600,
        "/etc/init.d/isdf-agent": 0o755,
        "/etc/uci-defaults/90-isdf-agent": 0o755,
        "/lib/upgrade/keep.d/isdf-agent": 0o644,
        "/usr/bin/isdf-agent": 0o755,
        "/usr/lib/isdf/push-rule": 0o755,
        "/usr/share/acl.d/isdf.json": 0o644,
    }
    assert package.script("conffiles").read_text() == "/etc/config/isdf\n"
    assert package.control["Require-User"] == ":isdf=457"


def test_the_premises_have_the_agents_files_where_the_package_puts_them(built):
    from premises import openwrt_parts

    there = dict(openwrt_parts._FILES.values())
    assert there.items() <= built["isdf-agent"].files.items()
    here = set(built["isdf-agent"].files) - set(there)
    assert {p for p in here if not p.startswith(PYTHON)} == {"/etc/uci-defaults/90-isdf-agent", "/usr/bin/isdf-agent"}
    number = built["isdf-agent"].control["Require-User"].partition("=")[2]
    assert f"isdf:x:{number}:\n" == openwrt_parts._GROUP


def test_the_installed_agent_runs_on_its_own_modules_alone(built, tmp_path):
    for name in ("python3-isdf", "isdf-agent"):
        os.symlink(built[name].root / PYTHON[1:] / name.replace("python3-", "").replace("-", "_"),
                   tmp_path / name.replace("python3-", "").replace("-", "_"))  # fmt: skip
    wrapper = (built["isdf-agent"].root / "usr/bin/isdf-agent").read_text()
    wrapper = wrapper.replace(PYTHON, str(tmp_path)).replace("/usr/bin/python3", f"{sys.executable} -S")
    done = subprocess.run(["sh", "-c", wrapper, "isdf-agent", "--version"], capture_output=True, text=True, cwd="/")
    assert (done.stdout, done.stderr) == (f"isdf-agent {__version__}\n", "")


def test_a_service_built_by_openwrt_is_the_one_that_the_manager_publishes(built):
    for folder in sorted(p.parent for p in (ROOT / "feed").glob("*/service.yaml")):
        assert_published_alike(folder, built[f"isdf-service-{folder.name}"])


def test_a_service_with_more_files_is_the_same_too(tmp_path):
    for name in ("buildroot.mk", "package"):
        os.symlink(ROOT / name, tmp_path / name)
    folder = tmp_path / "feed/pay-per-site"
    shutil.copytree(ROOT / "feed/pay-per-site", folder)
    more = ("data/list.txt", "data/deep/a b.json", ".hidden", ".git/x", "__pycache__/service.pyc", "controller.py")
    for name in more:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    package = packages.build(folder, tmp_path / "made")
    assert len(package.files) == 5
    assert_published_alike(folder, package)


def assert_published_alike(folder, package):
    """OpenWrt's package has the files and fields of the one that `isdf-manager publish` makes of `folder`."""
    described, data = catalogue.pack(folder)
    published = ipk.read(data)
    files = {f.path: f for f in published.files if f.kind == "file"}
    assert package.files == {path: f.mode for path, f in files.items()}
    for path, file in files.items():
        assert (package.root / path[1:]).read_bytes() == file.data, path
    for field in ("Package", "Version", "Depends", "Section", "Require-User", "Architecture"):
        assert package.control[field] == published.control[field], field
    said = " ".join(package.script("description").read_text().split())
    assert said == " ".join(described["description"].split())


def test_compiled_modules_are_made_at_the_installation_and_go_with_it(built, tmp_path):
    tree = tmp_path / "isdf"
    shutil.copytree(built["python3-isdf"].root / PYTHON[1:] / "isdf", tree)
    environment = {**os.environ, "IPKG_INSTROOT": ""}
    for name, there in (("postinst", True), ("prerm", False)):
        script = built["python3-isdf"].script(name).read_text().replace(PYTHON, str(tmp_path))
        subprocess.run(["sh", "-c", script], check=True, env=environment)
        assert bool(list(tree.rglob("*.pyc"))) is there
