"""opkg's `install`, `upgrade` and `remove`.

Each answer is that of OpenWrt's opkg; the stand-in must give the same.
"""

import pytest

from isdf.formats import ipk
from openwrt.opkg_fixtures import FOLDER, INSTALLED, X, complaints
from openwrt.router import package

pytestmark = pytest.mark.system


def test_install_from_the_feed(router):
    router.opkg("update")
    assert router.opkg("install", X) == (
        0,
        [f"Installing {X} (1.0.0) to root...", f"Downloading FEED/{X}_1.0.0_all.ipk", f"Configuring {X}."],
        [],
    )
    assert router.status()[X] == INSTALLED
    assert router.service_files() == ["service.py"]
    kept = router.info(X)
    assert sorted(kept) == ["control", "list", "postinst", "prerm"]
    assert kept["list"] == f"{FOLDER}/service.py\n"
    assert kept["postinst"].encode() == ipk.POSTINST
    assert "Require-User: isdf-x:isdf\n" in kept["control"]


def test_install_of_a_file_by_hand(router, feed):
    status, out, errors = router.opkg("install", feed.file)
    assert (status, out, errors) == (0, [f"Installing {X} (1.0.0) to root...", f"Configuring {X}."], [])
    assert router.status()[X] == INSTALLED


def test_a_file_by_hand_goes_before_the_feed(router, feed):
    feed.add(X, "1.1.0", Depends="isdf-agent")
    feed.publish()
    router.opkg("update")
    assert router.opkg("install", feed.file)[0] == 0
    assert router.status()[X]["Version"] == "1.0.0"


def test_the_services_user_is_made_once(router, feed):
    router.opkg("install", feed.file)
    router.opkg("--force-reinstall", "install", feed.file)
    passwd = (router.root / "etc/passwd").read_text().splitlines()
    assert passwd[1:] == ["isdf-x:x:32768:32768:isdf-x:/var/run/isdf-x:/bin/false"]
    assert (router.root / "etc/group").read_text().splitlines()[1:] == ["isdf:x:32768:isdf-x"]
    assert (router.root / "etc/shadow").read_text() == "isdf-x:x:0:0:99999:7:::\n"
    router.opkg("install", feed.add("isdf-service-y", Depends="isdf-agent"))
    assert (router.root / "etc/passwd").read_text().splitlines()[2].startswith("isdf-y:x:32769:32768:")
    assert (router.root / "etc/group").read_text().splitlines()[1:] == ["isdf:x:32768:isdf-x,isdf-y"]


def test_a_second_install_of_the_same_does_nothing(router, feed):
    router.opkg("install", feed.file)
    for word in (X, feed.file):
        assert router.opkg("install", word) == (0, [f"Package {X} (1.0.0) installed in root is up to date."], [])


def test_reinstallation_removes_and_installs(router, feed):
    router.opkg("install", feed.file)
    (router.root / f"{FOLDER[1:]}/service.py").unlink()
    assert router.opkg("--force-reinstall", "install", feed.file) == (
        0,
        [f"Removing package {X} from root...", f"Installing {X} (1.0.0) to root...", f"Configuring {X}."],
        [],
    )
    assert router.service_files() == ["service.py"]


def test_what_it_unpacks_is_what_the_formats_read(router, tmp_path):
    files = {
        f"{FOLDER}/service.py": b"print()\n",
        f"{FOLDER}/empty": b"",
        f"{FOLDER}/{'long-name-' * 12}/{'x' * 90}": bytes(range(256)) * 5,
        f"{FOLDER}/512": bytes(512),
        f"{FOLDER}/with a blank, ü": b"x",
    }
    (tmp_path / "x.ipk").write_bytes(package(X, files=files, Depends="isdf-agent"))
    assert router.opkg("install", tmp_path / "x.ipk")[0] == 0
    for file in ipk.read((tmp_path / "x.ipk").read_bytes()).files:
        path = router.root / file.path[1:]
        assert path.is_dir() if file.kind == "directory" else path.read_bytes() == file.data
        assert path.stat().st_mode & 0o7777 == file.mode
    assert sorted(router.info(X)["list"].splitlines()) == sorted(files)


def test_what_is_unknown_is_refused(router):
    router.opkg("update")
    assert router.opkg("install", "nothing") == (
        255, ["Unknown package 'nothing'."], complaints("opkg_install_cmd: Cannot install package nothing.")
    )  # fmt: skip


def test_a_file_that_is_no_package_is_refused(router, tmp_path):
    (tmp_path / "x.ipk").write_bytes(b"x")
    status, out, errors = router.opkg("install", tmp_path / "x.ipk")
    assert (status, out) == (255, [])
    assert errors == complaints(f"pkg_init_from_file: Malformed package file {tmp_path}/x.ipk.")
    status, out, errors = router.opkg("install", "/nothing.ipk")
    assert (status, out) == (255, [])
    assert errors == complaints(
        "wfopen: /nothing.ipk: No such file or directory.",
        "pkg_init_from_file: Failed to extract control file from /nothing.ipk.",
    )


def test_a_package_that_was_changed_is_refused(router, feed):
    router.opkg("update")
    feed.file.write_bytes(package(X, files={f"{FOLDER}/evil.py": b""}, Depends="isdf-agent"))
    status, _, errors = router.opkg("install", X)
    assert status == 255
    assert errors == complaints(
        f"opkg_install_pkg: Checksum or size mismatch for package {X}. Either the opkg or the package index are "
        "corrupt. Try 'opkg update'.",
        f"opkg_install_cmd: Cannot install package {X}.",
    )
    assert sorted(router.status()) == ["isdf-agent"]
    status, out, errors = router.opkg("--force-checksum", "install", X)
    assert (status, errors) == (0, [])
    assert f"Ignored {X} checksum or size mismatch." in out


def test_the_lists_signature_is_checked_again_before_each_installation(router):
    router.opkg("update")
    path = router.root / "lists/isdf"
    path.write_bytes(path.read_bytes() + b"\n")
    assert router.opkg("install", X)[2] == complaints(
        "opkg_install_pkg: Failed to verify the signature of ROOT/lists/isdf.",
        f"opkg_install_cmd: Cannot install package {X}.",
    )
    path.with_name("isdf.sig").unlink()
    assert router.opkg("install", X)[2] == complaints(
        f"opkg_install_pkg: Signature file is missing for {X}. Perhaps you need to run 'opkg update'?",
        f"opkg_install_cmd: Cannot install package {X}.",
    )


@pytest.mark.parametrize("text", [b"Depends: ", b"Depends: isdf-agent, "])
def test_one_entry_with_a_blank_dependency_crashes_it(router, feed, text):
    entry = b"Package: other\nVersion: 1\n" + text + b"\nArchitecture: all\n\n"
    feed.sign((feed.path / "Packages").read_bytes() + entry)
    router.opkg("update")
    assert router.opkg("install", X)[0] == -11


def test_an_upgrade_replaces_the_files(router, feed):
    router.opkg("install", feed.file)
    feed.add(X, "1.1.0", Depends="isdf-agent", files={f"{FOLDER}/other.py": b""})
    feed.publish()
    router.opkg("update")
    assert router.opkg("list-upgradable") == (0, [f"{X} - 1.0.0 - 1.1.0"], [])
    assert router.opkg("upgrade", X) == (
        0,
        [
            f"Upgrading {X} on root from 1.0.0 to 1.1.0...",
            f"Downloading FEED/{X}_1.1.0_all.ipk",
            f"Removing obsolete file ROOT{FOLDER}/service.py.",
            f"Configuring {X}.",
        ],
        [],
    )
    assert router.status()[X] == {**INSTALLED, "Version": "1.1.0"}
    assert router.service_files() == ["other.py"]
    assert router.info(X)["list"] == f"{FOLDER}/other.py\n"
    assert router.opkg("upgrade", X) == (0, [], [])


def test_a_downgrade_wants_to_be_forced(router, feed):
    newer = feed.add(X, "1.1.0", Depends="isdf-agent")
    router.opkg("install", newer)
    assert router.opkg("install", feed.file) == (
        0, [f"Not downgrading package {X} on root from 1.1.0 to 1.0.0."], []
    )  # fmt: skip
    assert router.opkg("--force-downgrade", "install", feed.file) == (
        0, [f"Downgrading {X} on root from 1.1.0 to 1.0.0...", f"Configuring {X}."], []
    )  # fmt: skip
    assert router.status()[X]["Version"] == "1.0.0"


def test_a_file_of_another_package_is_in_the_way(router, feed):
    router.opkg("install", feed.file)
    files = {f"{FOLDER}/service.py": b"other"}
    other = feed.add("isdf-service-y", Depends="isdf-agent", files=files)
    status, _, errors = router.opkg("install", other)
    assert status == 255
    assert errors == [
        "Collected errors:",
        f" * check_data_file_clashes: Package isdf-service-y wants to install file ROOT{FOLDER}/service.py",
        f"\tBut that file is already provided by package  * {X}",
        " * opkg_install_cmd: Cannot install package isdf-service-y.",
    ]
    assert router.opkg("--force-overwrite", "install", other)[0] == 0
    assert (router.root / f"{FOLDER[1:]}/service.py").read_bytes() == b"other"


def test_a_file_of_no_package_is_written_over(router, feed):
    (router.root / FOLDER[1:]).mkdir(parents=True)
    (router.root / f"{FOLDER[1:]}/service.py").write_text("left over")
    assert router.opkg("install", feed.file)[0] == 0
    assert "1.0.0" in (router.root / f"{FOLDER[1:]}/service.py").read_text()


def test_removal_leaves_empty_folders(router, feed):
    router.opkg("install", feed.file)
    assert router.opkg("remove", X) == (0, [f"Removing package {X} from root..."], [])
    assert router.info(X) == {}
    assert router.service_files() == []
    assert (router.root / FOLDER[1:]).is_dir()
    assert X not in router.status()


def test_removal_of_what_is_not_there_does_nothing(router):
    assert router.opkg("remove", X) == (0, ["No packages removed."], [])
