"""opkg and what packages need: dependencies, architectures, what is essential.

Each answer is that of OpenWrt's opkg; the stand-in must give the same.
"""

import pytest

from openwrt.opkg_fixtures import INSTALLED, X, complaints

pytestmark = pytest.mark.system


def test_several_files_at_once(router, feed):
    other = feed.add("isdf-service-y", Depends="isdf-agent, isdf-service-x (>= 1.0)")
    status, out, errors = router.opkg("install", other, feed.file)
    assert (status, errors) == (0, [])
    assert out[-2:] == [f"Configuring {X}.", "Configuring isdf-service-y."]
    assert router.status()["isdf-service-y"]["Depends"] == "isdf-agent, isdf-service-x (>= 1.0)"
    assert router.status()[X]["Status"] == "install user installed"


def test_dependencies_come_along_from_the_feed(router, feed):
    feed.add("isdf-service-y", Depends="isdf-service-x (>= 1.0)")
    feed.publish()
    router.opkg("update")
    status, out, errors = router.opkg("install", "isdf-service-y")
    assert (status, errors) == (0, [])
    assert out == [
        "Installing isdf-service-y (1.0.0) to root...",
        "Downloading FEED/isdf-service-y_1.0.0_all.ipk",
        f"Installing {X} (1.0.0) to root...",
        f"Downloading FEED/{X}_1.0.0_all.ipk",
        f"Configuring {X}.",
        "Configuring isdf-service-y.",
    ]
    assert router.status()[X] == {**INSTALLED, "Status": "install ok installed", "Auto-Installed": "yes"}
    assert router.opkg("--autoremove", "remove", "isdf-service-y")[1] == [
        "Removing package isdf-service-y from root...",
        f"{X} was autoinstalled and is now orphaned, removing.",
        f"Removing package {X} from root...",
    ]
    assert sorted(router.status()) == ["isdf-agent"]


def test_a_dependency_that_is_nowhere_refuses_the_package(router, feed):
    for word in (feed.add("isdf-service-y", Depends="isdf-agent (>= 2.0)"), "isdf-service-y"):
        feed.publish()
        router.opkg("update")
        status, out, errors = router.opkg("install", word)
        assert (status, out) == (255, ["Unknown package 'isdf-service-y'."])
        assert errors == complaints(
            "pkg_hash_check_unresolved: cannot find dependency isdf-agent (>= 2.0) for isdf-service-y",
            "pkg_hash_fetch_best_installation_candidate: Packages for isdf-service-y found, but incompatible with the "
            "architectures configured",
            "opkg_install_cmd: Cannot install package isdf-service-y.",
        )
    assert sorted(router.status()) == ["isdf-agent"]


def test_the_very_version_satisfies_every_relation(router, feed):
    for relation in ("<<", "<=", "=", ">=", ">>"):
        assert router.opkg("install", feed.add("isdf-service-y", Depends=f"isdf-agent ({relation} 0.1.0)"))[0] == 0
        assert router.opkg("remove", "isdf-service-y")[0] == 0


def test_another_architecture_is_passed_over(router, feed):
    file = feed.add("isdf-service-y", Architecture="mips_24kc")
    assert router.opkg("install", file) == (
        255,
        ["Unknown package 'isdf-service-y'."],
        complaints(
            "pkg_hash_fetch_best_installation_candidate: Packages for isdf-service-y found, but incompatible with the "
            "architectures configured",
            "opkg_install_cmd: Cannot install package isdf-service-y.",
        ),
    )
    assert router.opkg("install", file, feed.file)[0] == 255
    assert router.status()["isdf-service-y"] == {
        "Package": "isdf-service-y", "Version": "1.0.0", "Status": "install prefer not-installed"
    }  # fmt: skip


def test_what_was_removed_already_is_said(router, feed):
    router.opkg("install", feed.file)
    assert router.opkg("remove", X, X) == (
        0,
        [f"Removing package {X} from root..."],
        complaints(f"opkg_remove_cmd: Package {X} is not installed."),
    )


def test_what_is_essential_stays(router, feed):
    router.opkg("install", feed.add("isdf-service-y", Essential="yes"))
    status, out, errors = router.opkg("remove", "isdf-service-y")
    assert (status, errors) == (255, [])
    assert out == [
        "Refusing to remove essential package isdf-service-y.",
        "\tRemoving an essential package may lead to an unusable system, but if",
        "\tyou enjoy that kind of pain, you can force opkg to proceed against",
        "\tits will with the option: --force-removal-of-essential-packages",
        "No packages removed.",
    ]
    assert router.opkg("--force-removal-of-essential-packages", "remove", "isdf-service-y")[0] == 0


def test_of_two_files_of_one_name_the_older_version_is_taken(router, feed):
    newer = feed.add(X, "1.1.0", Depends="isdf-agent")
    status, out, errors = router.opkg("install", feed.file, newer)
    assert (status, errors) == (0, [])
    said = f"Multiple packages ({X} and {X}) providing same name marked HOLD or PREFER. Using latest."
    assert [line for line in out if line != said] == [
        f"Installing {X} (1.0.0) to root...",
        f"Package {X} (1.0.0) installed in root is up to date.",
        f"Configuring {X}.",
    ]
    assert said in out


def test_what_is_needed_stays(router, feed):
    router.opkg("install", feed.file)
    status, out, errors = router.opkg("remove", "isdf-agent")
    assert (status, out) == (255, ["No packages removed."])
    assert errors[1:3] == [
        " * print_dependents_warning: Package isdf-agent is depended upon by packages:",
        f" * print_dependents_warning: \t{X}",
    ]
    assert router.opkg("--force-removal-of-dependent-packages", "remove", "isdf-agent")[0] == 0
    assert router.status() == {}
