"""A byte changed on the manager's disk or on the way is refused and told, what ran runs on, and then all goes well."""

from __future__ import annotations

import itertools
import json
import sys
import time

import pytest

from bad_input import tamper
from premises import plan
from premises.host import wait_until
from premises.manager import FOLDER

pytestmark = pytest.mark.system
_FLIP = """
import sqlite3, sys
file, column, rows, byte = sys.argv[1:]
with sqlite3.connect(file, timeout=10) as connection:
    (value,) = connection.execute(f"SELECT {column} FROM {rows}").fetchone()
    data = bytearray(value if isinstance(value, bytes) else value.encode())
    data[int(byte)] ^= 1
    new = bytes(data) if isinstance(value, bytes) else data.decode()
    table, where = rows.split(" ", 1)
    connection.execute(f"UPDATE {table} SET {column} = ? {where}", (new,))
"""
_REDIRECT = f"""
table inet tamper {{
	chain prerouting {{
		type nat hook prerouting priority dstnat
		ip daddr {plan.MANAGER[0]} tcp dport 8080 redirect to :{tamper.PORT}
		ip6 daddr {plan.MANAGER[1]} tcp dport 8080 redirect to :{tamper.PORT}
	}}
}}
"""


@pytest.fixture(scope="module")
def versions(isp):
    """A service that runs, and numbers for versions of it to come."""
    isp.publish("film")
    isp.sell("film")
    isp.pull()
    return itertools.count(1)


@pytest.fixture
def newer(isp, versions) -> str:
    """A version of it that is published and on no router yet; when the test is over, it gets there all right."""
    version = f"1.0.{next(versions)}"
    isp.publish("film", version=version)
    yield version
    version = f"1.0.{next(versions)}"  # for what was made of a changed row stays as it is
    isp.publish("film", version=version)
    isp.pull()
    assert (isp.told("film")["version"], isp.told("film")["error"]) == (version, None)
    assert isp.report()["error"] is None


@pytest.fixture
def thief(isp):
    """`thief(path, byte)` changes that byte of what passes on the way, until the end of the test.

    He has stolen the certificate and its key: without them he would not be spoken to.
    """
    core = isp.net.core
    core.write(str(tamper.CERTIFICATE), isp.net.manager.read(f"{FOLDER}/keys/server.pem"))

    def change(path: str, byte: int) -> None:
        core.write("/run/tamper.json", json.dumps({"path": path, "byte": byte}))

    change("$^", 0)
    server = core.popen(core.python("bad_input.tamper"))
    wait_until(core.path(tamper.READY).exists, 10, "the thief")
    core.run(["nft", "-f", "-"], input=_REDIRECT)
    yield change
    core.run(["nft", "delete", "table", "inet", "tamper"])
    server.kill()
    server.wait()
    core.path(tamper.READY).unlink()


def refused(isp) -> str:
    """The sentence with which the router refuses, the same for its root and for the operator; nothing changes."""
    before, held, pids = isp.status()["delivery"], isp.classes("film"), isp.pids("film")
    asked = time.time()
    isp.ubus("isdf", "pull")
    wait_until(lambda: isp.reported_at() > asked, 20, "a report")
    after = isp.status()["delivery"]
    assert (after["serial"], isp.classes("film"), isp.pids("film")) == (before["serial"], held, pids)
    said = after["error"]["detail"]
    assert isp.report()["error"]["detail"] == said
    assert not isp.report()["applied"]
    assert isp.manager("status", "home1").stdout.splitlines()[1].endswith(said)
    print(said)
    return said


PACKAGE = "isdf-service-film_{}_all.ipk is not the package that the assignment names"
SIGNATURE = "the assignment is not signed by this router's assignment key"


@pytest.mark.parametrize(
    ("path", "byte", "words"),
    [
        ("/assignment$", -20, SIGNATURE),
        ("/assignment$", 3, "the assignment has no signature that can be read"),
        ("/Packages$", 30, "the package index is not signed by the assignment key"),
        (r"/Packages\.sig$", 100, "the package index is not signed by the assignment key"),
        (r"film_.*\.ipk$", 700, PACKAGE),
    ],
)
def test_a_byte_changed_on_the_way(isp, newer, thief, path, byte, words):
    thief(path, byte)
    assert words.format(newer) in refused(isp)


PUBLICATION = "publication WHERE serial = (SELECT max(serial) FROM publication)"
NEWEST = "package WHERE id = (SELECT max(id) FROM package)"


@pytest.fixture
def flip(isp):
    """`flip(column, rows, byte)` changes a byte in the manager's database; all are changed back in the end."""
    done = []

    def change(*what) -> None:
        isp.net.manager.run([sys.executable, "-c", _FLIP, f"{FOLDER}/manager.db", *map(str, what)])

    def once(*what) -> None:
        done.append(what)
        change(*what)

    yield once
    for what in done:
        change(*what)


@pytest.mark.parametrize(
    ("column", "byte", "words"),
    [
        ("assignment", -20, SIGNATURE),
        ("packages", 30, "the package index is not signed by the assignment key"),
        ("signature", 100, "the package index is not signed by the assignment key"),
    ],
)
def test_a_byte_of_a_publication_changed_on_the_disk(isp, newer, flip, column, byte, words):
    isp.renew()
    flip(column, PUBLICATION, byte)
    assert words in refused(isp)


@pytest.mark.parametrize(("column", "byte"), [("data", 700), ("sha256", 5)])
def test_a_package_that_is_damaged_on_the_disk_is_published_to_nobody(isp, newer, flip, column, byte):
    before, pids = isp.told("film")["version"], isp.pids("film")
    flip(column, NEWEST, byte)
    said = isp.manager("push", "home1")
    assert said.returncode == 1
    assert f"the package of film {newer} is damaged in the database" in said.stderr
    isp.ubus("isdf", "pull")
    assert (isp.told("film")["version"], isp.pids("film")) == (before, pids)


def test_a_package_that_the_catalogue_key_did_not_sign_is_refused_and_the_operator_who_pushes_is_told(isp, newer, flip):
    flip("signature", NEWEST, 30)
    words = f"isdf-service-film {newer} is not signed by the catalogue key"
    assert words in refused(isp)
    said = isp.manager("push", "home1")
    assert said.returncode == 1
    assert said.stderr.startswith("isdf-manager: home1 reports: ")
    assert words in said.stderr
