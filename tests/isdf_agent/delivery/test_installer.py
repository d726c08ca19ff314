"""opkg as the installer, in a root of its own; with OPENWRT_ROOT OpenWrt's own opkg."""

import errno
import fcntl
import os
import sys

import pytest
from server import make_root
from simulator import service_package

from isdf.loop import Loop
from isdf_agent.delivery import bytecode
from isdf_agent.delivery.installer import Opkg
from openwrt.programs import program

pytestmark = pytest.mark.system


class Box:
    def __init__(self, root):
        self.root, self.loop = make_root(root), Loop()
        self.opkg = Opkg(self.loop, program=program("opkg"), root=root, folder=root / "var/run/isdf/opkg", patience=20)

    def install(self, name, version, data=None):
        """The failures of an installation."""
        path = self.root / f"tmp/{name}-{version}.ipk"
        path.write_bytes(data or service_package(name, version))
        return self.wait(lambda done: self.opkg.install({f"isdf-service-{name}": (version, path)}, done))

    def remove(self, *names):
        return self.wait(lambda done: self.opkg.remove([f"isdf-service-{name}" for name in names], done))

    def wait(self, start):
        results = []
        start(results.append)
        while not results:
            self.loop.step(None)
        return results[0]

    def text(self, name):
        return (self.root / f"usr/lib/isdf/services/{name}/service.py").read_text()


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


def test_a_package_is_installed_with_its_user(box):
    assert box.install("tv", "1.0.0") == {}
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0"}
    assert box.text("tv") == "# tv 1.0.0\n"
    assert "isdf-tv:" in (box.root / "etc/passwd").read_text()
    assert "isdf:" in (box.root / "etc/group").read_text()


@pytest.mark.parametrize("versions", [("1.0.0", "1.1.0"), ("1.1.0", "1.0.0"), ("1.0.0", "1.0.0")])
def test_any_version_takes_the_place_of_any_other(box, versions):
    box.install("tv", versions[0])
    data = service_package("tv", versions[1], text="# second\n")
    assert box.install("tv", versions[1], data) == {}
    assert box.opkg.installed() == {"isdf-service-tv": versions[1]}
    assert box.text("tv") == "# second\n"


def test_several_packages_at_once(box):
    paths = {}
    for name in ("tv", "vpn"):
        paths[name] = box.root / f"tmp/{name}.ipk"
        paths[name].write_bytes(service_package(name))
    wanted = {f"isdf-service-{name}": ("1.0.0", path) for name, path in paths.items()}
    assert box.wait(lambda done: box.opkg.install(wanted, done)) == {}
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0", "isdf-service-vpn": "1.0.0"}


def test_removal_takes_the_files_and_what_is_not_there_is_no_error(box):
    box.install("tv", "1.0.0")
    assert box.remove("tv", "vpn") == {}
    assert box.opkg.installed() == {}
    assert not (box.root / "usr/lib/isdf/services/tv/service.py").exists()


def test_what_opkg_cannot_install_is_told_in_its_words(box):
    failures = box.install("tv", "1.0.0", service_package("tv", control={"Depends": "isdf-agent-vpn"}))
    assert list(failures) == ["isdf-service-tv"]
    assert "isdf-agent-vpn" in failures["isdf-service-tv"]
    assert box.opkg.installed() == {}


@pytest.mark.parametrize("names", [("film", "tv", "vpn"), ("tv", "vpn", "film")])
def test_what_cannot_be_installed_stops_nothing_beside_it(box, names):
    paths = {}
    for name in names:
        paths[name] = box.root / f"tmp/{name}.ipk"
        needs = "isdf-agent (>= 99.0)" if name == "film" else "isdf-agent"
        paths[name].write_bytes(service_package(name, control={"Depends": needs}))
    wanted = {f"isdf-service-{name}": ("1.0.0", path) for name, path in paths.items()}
    assert list(box.wait(lambda done: box.opkg.install(wanted, done))) == ["isdf-service-film"]
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0", "isdf-service-vpn": "1.0.0"}


def test_a_package_whose_bytecode_stays_is_told_and_stops_nothing_beside_it(box, monkeypatch):
    box.install("tv", "1.0.0")
    forget = bytecode.forget

    def fails(folder):
        if folder.endswith("/tv"):
            raise OSError(errno.EIO, "Input/output error", folder)
        forget(folder)

    monkeypatch.setattr(bytecode, "forget", fails)
    failures = box.install("tv", "1.1.0")
    assert "cannot be removed: Input/output error" in failures["isdf-service-tv"]
    assert box.install("vpn", "1.0.0") == {}
    assert "cannot be removed" in box.remove("tv", "vpn")["isdf-service-tv"]
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0"}


def test_another_package_that_only_speaks_of_a_service_is_none(box):
    status = box.root / "usr/lib/opkg/status"
    status.write_text(
        "Package: other\nVersion: 1\nDescription: as in Package: isdf-service-tv\n"
        "Status: install user installed\n\n" + status.read_text()
    )
    assert box.opkg.installed() == {}


def test_a_damaged_file_is_told_and_changes_nothing(box):
    box.install("tv", "1.0.0")
    assert box.install("tv", "1.1.0", b"no package")
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0"}
    assert box.text("tv") == "# tv 1.0.0\n"


def test_files_that_a_power_cut_left_do_not_stand_in_the_way(box):
    box.install("tv", "1.0.0")
    status = box.root / "usr/lib/opkg/status"
    status.write_text(status.read_text().split("Package: isdf-service-tv")[0])
    for path in (box.root / "usr/lib/opkg/info").glob("isdf-service-tv*"):
        path.unlink()
    assert box.opkg.installed() == {}
    assert box.install("tv", "1.1.0") == {}
    assert box.text("tv") == "# tv 1.1.0\n"


def test_what_is_half_installed_does_not_count(box):
    box.install("tv", "1.0.0")
    status = box.root / "usr/lib/opkg/status"
    status.write_text(status.read_text().replace("Status: install user installed", "Status: install user unpacked"))
    assert box.opkg.installed() == {}


def test_other_feeds_bring_nothing_along(box):
    (box.root / "etc/opkg/evil.conf").write_text("src evil http://127.0.0.1:1/evil\n")
    (box.root / "usr/lib/opkg/lists").mkdir()
    (box.root / "usr/lib/opkg/lists/evil").write_text(
        "Package: isdf-service-tv\nVersion: 9.0.0\nArchitecture: all\nFilename: x.ipk\nSize: 1\n\n"
    )
    assert box.install("tv", "1.0.0") == {}
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0"}


def test_bytecode_comes_and_goes_with_a_package(box):
    folder = box.root / "usr/lib/isdf/services/tv"
    box.install("tv", "1.0.0", service_package("tv", "1.0.0", "value = 1\n"))
    compiled = folder / f"__pycache__/service.{sys.implementation.cache_tag}.pyc"
    first = compiled.read_bytes()
    box.install("tv", "1.1.0", service_package("tv", "1.1.0", "value = 2\n"))
    assert compiled.read_bytes() != first
    box.remove("tv")
    assert not folder.exists()


def test_a_service_that_cannot_be_compiled_is_installed_all_the_same(box):
    assert box.install("tv", "1.0.0", service_package("tv", "1.0.0", "def broken(:\n")) == {}


def test_after_an_upgrade_of_python_services_are_compiled_anew(box):
    box.install("tv", "1.0.0")
    compiled = box.root / f"usr/lib/isdf/services/tv/__pycache__/service.{sys.implementation.cache_tag}.pyc"
    compiled.rename(compiled.with_name("service.cpython-39.pyc"))
    box.wait(box.opkg.prepare)
    assert compiled.exists()


def test_no_opkg_is_told_in_a_sentence(box):
    box.opkg._program = ["/nonexistent/opkg"]
    assert box.install("tv", "1.0.0") == {
        "isdf-service-tv": "/nonexistent/opkg does not start: No such file or directory"
    }


class Lock:
    """opkg's lock, as another opkg holds it: locks of one process do not exclude each other, so a child takes it."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        told, self._end = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._end[1])
            fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
            fcntl.lockf(fd, fcntl.LOCK_EX)
            os.write(told[1], b"x")
            os.read(self._end[0], 1)
            os._exit(0)
        os.read(told[0], 1)

    def release(self):
        if self._pid:
            os.close(self._end[1])
            os.waitpid(self._pid, 0)
            self._pid = 0


def test_the_lock_of_a_users_opkg_is_waited_for(box):
    lock = Lock(box.root / "var/lock/opkg.lock")
    box.opkg.RETRY = 0.05
    box.loop.after(0.4, lock.release)
    try:
        assert box.install("tv", "1.0.0") == {}
    finally:
        lock.release()
    assert box.opkg.installed() == {"isdf-service-tv": "1.0.0"}


def test_a_lock_that_is_never_released_is_told(box):
    lock = Lock(box.root / "var/lock/opkg.lock")
    box.opkg.RETRY, box.opkg._patience = 0.05, 0.3
    try:
        assert "Could not lock" in box.install("tv", "1.0.0")["isdf-service-tv"]
    finally:
        lock.release()


def test_an_opkg_that_was_begun_before_a_restart_of_the_agent_is_waited_for(box):
    """It may install yet what nobody wants any more; only then is it seen what is installed."""
    lock = Lock(box.root / "var/lock/opkg.lock")
    box.opkg.RETRY = 0.05
    prepared = []
    box.opkg.prepare(prepared.append)
    assert prepared == []
    box.loop.after(0.2, lock.release)
    try:
        box.wait(lambda done: box.loop.after(0.1, lambda: done(True)))
        assert prepared == []
        while not prepared:
            box.loop.step(None)
    finally:
        lock.release()


def test_a_lock_that_is_never_released_does_not_keep_all_services_waiting(box):
    lock = Lock(box.root / "var/lock/opkg.lock")
    box.opkg.RETRY, box.opkg._patience = 0.05, 0.2
    try:
        box.wait(box.opkg.prepare)
    finally:
        lock.release()
