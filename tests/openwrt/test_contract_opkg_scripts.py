"""How opkg runs a package's scripts, and what their failure does.

Each answer is that of OpenWrt's opkg; the stand-in must give the same.
"""

import pytest

from openwrt.opkg_fixtures import X, complaints

pytestmark = pytest.mark.system


def scripted(router, feed, version="1.0.0", **scripts):
    """A service whose scripts note how they were called, after the standard ones; `scripts` gives their exit status."""
    note = 'echo "$(basename "$0" | sed "s/.*x\\.//") $* upgrade=$PKG_UPGRADE" >> "$IPKG_INSTROOT/notes"\n'
    own = {
        name: f"#!/bin/sh\n{note}exit {scripts.get(name, 0)}\n" for name in ("preinst", "postinst", "prerm", "postrm")
    }
    return feed.add(X, version, Depends="isdf-agent", scripts=own)


def notes(router):
    path = router.root / "notes"
    text = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return text


def test_scripts_are_told_what_happens(router, feed):
    assert router.opkg("install", scripted(router, feed))[0] == 0
    assert notes(router) == ["preinst install upgrade=0", "postinst configure upgrade=0"]
    assert router.opkg("install", scripted(router, feed, "1.1.0"))[0] == 0
    assert notes(router) == [
        "prerm upgrade 1.1.0 upgrade=1",
        "preinst upgrade 1.0.0 upgrade=1",
        "postrm upgrade 1.1.0 upgrade=1",
        "postinst configure upgrade=1",
    ]
    assert router.opkg("remove", X)[0] == 0
    assert notes(router) == ["prerm remove upgrade=0", "postrm remove upgrade=0"]


def test_a_postinst_that_fails_leaves_the_package_unpacked(router, feed):
    status, out, errors = router.opkg("install", scripted(router, feed, postinst=3))
    assert (status, out[-1]) == (255, f"Configuring {X}.")
    assert errors == complaints(
        f'pkg_run_script: package "{X}" postinst script returned status 3.',
        f"opkg_configure: {X}.postinst returned 3.",
    )
    assert router.status()[X]["Status"] == "install user unpacked"


def test_a_preinst_that_fails_installs_nothing(router, feed):
    status, _, errors = router.opkg("install", scripted(router, feed, preinst=1))
    assert status == 255
    assert errors == complaints(
        f'pkg_run_script: package "{X}" preinst script returned status 1.',
        f"preinst_configure: Aborting installation of {X}.",
        f"opkg_install_cmd: Cannot install package {X}.",
    )
    assert router.service_files() == []
    assert router.status().get(X, {}).get("Status", "").split()[-1:] in ([], ["not-installed"])


def test_a_prerm_that_fails_keeps_the_package(router, feed):
    router.opkg("install", scripted(router, feed, prerm=1))
    status, out, errors = router.opkg("remove", X)
    assert status == 255
    assert out == [
        f"Removing package {X} from root...",
        "You can force removal of packages with failed prerm scripts with the option:",
        "\t--force-remove",
        "No packages removed.",
    ]
    assert errors == complaints(
        f'pkg_run_script: package "{X}" prerm script returned status 1.',
        f'opkg_remove_pkg: not removing package "{X}", prerm script failed',
    )
    assert router.service_files() == ["service.py"]
    assert router.status()[X]["Status"] == "deinstall user installed"
    assert router.opkg("--force-remove", "remove", X)[0] == 0
    assert X not in router.status()
