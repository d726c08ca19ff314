"""A flash with little room: what nothing returns to leaves before what is new comes, and nothing is stuck for good."""

import errno
import random

import pytest
from simulator import NOW, service_package

from isdf_agent.delivery.journal import Journal

DAY = 86400
SIZE = 15_000  # bytes of a package, about


def package(name, version):
    return service_package(name, version, text=f"# {random.Random(name + version).randbytes(SIZE).hex()}\n")


@pytest.fixture
def flash(monkeypatch):
    """`flash(packages)`: from now on there is room for so many packages."""

    def limit(packages):
        write = Journal._write

        def bounded(journal, path, data):
            if not (path.is_file() and path.read_bytes() == data):
                used = sum(file.stat().st_size for file in journal._folder.rglob("*") if file.is_file())
                if used + len(data) > packages * SIZE:
                    raise OSError(errno.ENOSPC, "No space left on device")
            write(journal, path, data)

        monkeypatch.setattr(Journal, "_write", bounded)

    return limit


def sells(operator, name, version="1.0.0"):
    operator.subscribe(name, version, data=package(name, version))


def anew(router, operator):
    """The assignment is signed anew, and pulled."""
    operator.serial += 1
    operator.issued = int(NOW + router.loop.time - 1000)
    operator.expires = operator.issued + 7 * DAY
    router.pull()


def test_a_service_takes_the_place_of_another_on_a_flash_with_room_for_one(router, operator, flash):
    sells(operator, "tv")
    flash(1.9)
    router.pull()
    operator.unsubscribe("tv")
    sells(operator, "film")
    router.pull()
    assert router.services.versions() == {"film": "1.0.0"}
    assert router.installer.installed() == {"isdf-service-film": "1.0.0"}
    assert router.told() == {"film": ("1.0.0", "running", None)}


def test_what_was_cancelled_ends_on_a_flash_without_room(router, operator, flash):
    sells(operator, "tv")
    router.pull()
    flash(0)
    operator.unsubscribe("tv")
    sells(operator, "film")
    router.pull()
    assert router.services.versions() == {}
    assert "flash could not be written" in router.told()["film"][2]


@pytest.mark.parametrize("reboots", [False, True])
def test_a_chain_of_upgrades_ends_with_the_last_one(router, operator, flash, reboots):
    """There is room for what runs and what ran before, and not for a third one until the second has stayed up."""
    flash(2.9)
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        sells(operator, "tv", version)
        router.pull()
        router.loop.advance(60)
    assert router.services.versions() == {"tv": "1.0.1"}
    for _ in range(3):
        router.loop.advance(1200)
        if reboots:
            router.restart(reboot=True)
        anew(router, operator)
    assert router.told() == {"tv": ("1.0.2", "running", None)}
    router.loop.advance(1200)
    assert len([name for name in router.files() if name.startswith("packages/")]) == 1


def test_what_is_done_before_a_fault_goes_to_flash(router, operator, monkeypatch):
    """A package manager that cannot even be asked must not keep old packages on flash for ever."""
    router.pull()
    router.loop.advance(3600)
    monkeypatch.setattr(router.installer, "install", lambda files, done: 1 / 0)
    for minor in range(1, 9):
        operator.subscribe("tv", f"1.{minor}.0")
        router.pull()
        assert "a fault in the agent" in router.told()["tv"][2]
    assert router.services.versions() == {"tv": "1.0.0"}
    assert len([name for name in router.files() if name.startswith("packages/")]) == 2
