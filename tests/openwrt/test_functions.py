"""The stand-in for /lib/functions.sh: what the standard maintainer scripts do by it."""

import subprocess

import pytest

from isdf.formats.ipk import STANDARD_SCRIPTS
from openwrt.programs import HERE


@pytest.fixture
def root(tmp_path):
    for folder in ("etc", "usr/lib/opkg/info", "lib", "etc/init.d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "lib/functions.sh").write_bytes((HERE / "functions.sh").read_bytes())
    return tmp_path


def run(root, script="postinst", package="isdf-service-x", **files):
    """Run one of the standard scripts as opkg would, after writing `files` of the package's notes."""
    info = root / "usr/lib/opkg/info"
    for suffix, text in files.items():
        (info / f"{package}.{suffix.replace('_', '-')}").write_text(text)
    path = info / f"{package}.{script}"
    path.write_bytes(STANDARD_SCRIPTS[script])
    environment = {"IPKG_INSTROOT": str(root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(["sh", str(path), "configure"], env=environment, capture_output=True, text=True)


def users(root):
    return (root / "etc/passwd").read_text().splitlines()[1:], (root / "etc/group").read_text().splitlines()[1:]


def test_a_user_gets_the_next_ids(root):
    for name in "xy":
        done = run(root, package=f"isdf-service-{name}", control=f"Package: x\nRequire-User: isdf-{name}:isdf\n")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert users(root) == (
        [
            "isdf-x:x:32768:32768:isdf-x:/var/run/isdf-x:/bin/false",
            "isdf-y:x:32769:32768:isdf-y:/var/run/isdf-y:/bin/false",
        ],
        ["isdf:x:32768:isdf-x,isdf-y"],
    )
    assert (root / "etc/shadow").read_text() == "isdf-x:x:0:0:99999:7:::\nisdf-y:x:0:0:99999:7:::\n"


def test_nothing_is_made_twice(root):
    for _ in range(2):
        run(root, control="Require-User: isdf-x:isdf\n")
    assert [len(lines) for lines in users(root)] == [1, 1]


def test_ids_may_be_given(root):
    run(root, control="Require-User: one=123:two=456 three=7\n")
    assert users(root) == (
        ["one:x:123:456:one:/var/run/one:/bin/false", "three:x:7:7:three:/var/run/three:/bin/false"],
        ["two:x:456:one"],
    )


def test_a_package_without_users_makes_none(root):
    assert run(root, control="Package: x\n").returncode == 0
    assert users(root) == ([], [])


@pytest.mark.parametrize(("script", "word"), [("postinst", "enable"), ("prerm", "disable")])
def test_daemons_below_another_root_are_enabled_only(root, script, word):
    (root / "etc/rc.common").write_text(f'echo "$@" >> {root}/calls\n')
    run(root, script, list="/etc/init.d/x\n/usr/bin/x\n")
    assert (root / "calls").read_text() == f"{root}/etc/init.d/x {word}\n"


@pytest.mark.parametrize("script", ["postinst", "prerm"])
def test_the_packages_own_script_decides_on_the_status(root, script):
    own = {f"{script}_pkg": f"touch {root}/ran\nreturn 3\n"}
    assert run(root, script, **own).returncode == 3
    assert (root / "ran").exists()


def test_without_functions_the_scripts_do_nothing(root):
    (root / "lib/functions.sh").unlink()
    assert run(root, control="Require-User: isdf-x:isdf\n").returncode == 0
    assert users(root) == ([], [])
