"""Whoever has both keys can bring a service, and nothing that is more than a service."""

import tarfile

import pytest

from attacks.forgery import FOLDER, Thief, member, package

pytestmark = pytest.mark.system
SCRIPT = b"#!/bin/sh\ntouch /tmp/taken\n"


def field(line: bytes):
    """Another line of the control file, in the place of the one of that field."""
    name = line.split(b":")[0] + b":"

    def change(text: bytes) -> bytes:
        lines = [line + b"\n" if old.startswith(name) else old for old in text.splitlines(True)]
        return b"".join(lines) if line + b"\n" in lines else line + b"\n" + text

    return change


# What the package of a version is with the attack, and the words with which it is refused.
PACKAGES = {
    "ipk-with-a-foreign-file": (
        lambda v: package(v, member("./etc/rc.local", SCRIPT, 0o755)),
        "isdf-service-film has /etc/rc.local, which is not below",
    ),
    "ipk-with-anothers-file": (
        lambda v: package(v, member("./usr/lib/isdf/services/tv/service.py")),
        "has /usr/lib/isdf/services/tv/service.py, which is not below",
    ),
    "ipk-with-an-absolute-path": (
        lambda v: package(v, member("/etc/rc.local", SCRIPT)),
        "has an entry '/etc/rc.local'",
    ),
    "ipk-with-a-dotted-path": (
        lambda v: package(v, member(f".{FOLDER}/../../../../../../outside")),
        r"has an entry './usr/lib/isdf/services/film/\.\./",
    ),
    "ipk-with-a-symlink": (
        lambda v: package(
            v, member(f".{FOLDER}/x", kind=tarfile.SYMTYPE, target="/etc"), member(f".{FOLDER}/x/rc.local", SCRIPT)
        ),
        "has a symlink",
    ),
    "ipk-with-a-hard-link": (
        lambda v: package(v, member(f".{FOLDER}/x", kind=tarfile.LNKTYPE, target="./etc/shadow")),
        "has a hardlink",
    ),
    "ipk-with-a-device": (lambda v: package(v, member(f".{FOLDER}/x", kind=tarfile.BLKTYPE)), "has a block device"),
    "ipk-with-a-setuid-bit": (lambda v: package(v, member(f".{FOLDER}/x", SCRIPT, 0o4755)), "has mode 4755"),
    "ipk-that-closes-a-folder-of-the-system": (
        lambda v: package(v, *(member(path, b"", 0o700, tarfile.DIRTYPE) for path in ("./", "./usr/", "./usr/lib/"))),
        r"/ has mode 0700; a directory has 0755",
    ),
    "ipk-with-bytecode": (
        lambda v: package(v, member(f".{FOLDER}/__pycache__/sub/x.py")),
        "has bytecode /usr/lib/isdf/services/film/__pycache__/sub/x.py",
    ),
    "ipk-with-anothers-owner": (lambda v: package(v, member(f".{FOLDER}/x", uid=65537)), r"65537:0\), not root"),
    "ipk-with-a-postinst": (lambda v: package(v, beside={"postinst": SCRIPT}), "has a script 'postinst'"),
    "ipk-with-a-preinst": (lambda v: package(v, beside={"preinst": SCRIPT}), "has a script 'preinst'"),
    "ipk-with-conffiles": (lambda v: package(v, beside={"conffiles": b"/etc/passwd\n"}), "has a script 'conffiles'"),
    "ipk-with-a-uci-defaults-script": (
        lambda v: package(v, member("./etc/uci-defaults/99-film", SCRIPT)),
        "has /etc/uci-defaults/99-film, which is not below",
    ),
    "ipk-with-an-init-script": (
        lambda v: package(v, member("./etc/init.d/film", SCRIPT, 0o755)),
        "has /etc/init.d/film, which is not below",
    ),
    "ipk-with-an-acl-file": (
        lambda v: package(v, member("./usr/share/acl.d/film.json", b'{"user": "isdf-film"}')),
        "has /usr/share/acl.d/film.json, which is not below",
    ),
    "ipk-with-anothers-user": (
        lambda v: package(v, control=field(b"Require-User: isdf-tv:isdf")),
        "Require-User is 'isdf-tv:isdf'",
    ),
    "ipk-with-the-user-root": (
        lambda v: package(v, control=field(b"Require-User: root=0:root=0")),
        "Require-User is 'root=0:root=0'",
    ),
    "ipk-named-as-a-system-package": (
        lambda v: package(v, control=field(b"Package: isdf-agent")),
        "Package is 'isdf-agent'",
    ),
    "ipk-with-a-foreign-dependency": (
        lambda v: package(v, control=field(b"Depends: isdf-agent, netcat")),
        "depends on 'netcat'",
    ),
    "ipk-that-replaces-another": (
        lambda v: package(v, control=field(b"Replaces: isdf-agent")),
        "has the control field Replaces",
    ),
    "ipk-with-a-field-twice": (
        lambda v: package(v, control=lambda text: text + b"Require-User: root=0:root=0\n"),
        "twice",
    ),
    "ipk-with-an-entry-twice": (
        lambda v: package(v, member(f".{FOLDER}/service.py", b"import evil\n")),
        "has an entry twice",
    ),
    "ipk-with-an-outer-entry-twice": (
        lambda v: package(v, outer=(member("./data.tar.gz", package(v)),)),
        "has an entry twice",
    ),
    "ipk-of-another-version": (lambda v: package("0.0.1"), r"its version is 0\.0\.1, not"),
    "ipk-that-is-a-gzip-bomb": (
        lambda v: package(v, member(f".{FOLDER}/zeros", bytes(64 << 20))),
        "gzip data holds more than",
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.attack(name)) for name in PACKAGES], ids=PACKAGES
)
def test_a_package_that_is_more_than_a_service(isp, home, name):
    made, words = PACKAGES[name]
    version = f"2.0.{list(PACKAGES).index(name)}"
    thief = Thief(isp, home)
    thief.subscribe("film", version, data=made(version))
    with thief.answering():
        home.refuses(rf"isdf-service-film_{version}_all\.ipk: .*{words}")
    thief.subscribe("film", version, data=package(version))
    with thief.answering():
        home.takes(film=version)
