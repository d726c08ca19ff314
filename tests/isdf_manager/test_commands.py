"""The commands that tell and keep: devices and their configuration, status, audit, backup; and modes of files."""

import json
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from isdf.errors import ConflictError, FailedError, UnavailableError
from isdf.formats import ipk
from isdf_manager import catalogue, clock, commands, home, manifest, provision, push, schema, storage
from isdf_manager.manifest import version_key


def test_the_home_is_private(manager):
    modes = {p.name: p.stat().st_mode & 0o777 for p in manager.path.rglob("*") if "db-" not in p.name}
    assert modes == {
        "keys": 0o700, "catalogue.sec": 0o600, "assignment.sec": 0o600, "authority.pem": 0o600, "statement": 0o644,
        "manager.db": 0o600, "manager.yaml": 0o600,
    }  # fmt: skip


def test_status_tells_what_should_run_and_what_does(manager):
    assert "there is no device yet" in manager.ok("status")
    manager.ok("device", "add", "home2")
    manager.ok("publish", manager.service("film"))
    router = manager.router()
    for words in (("lane", "--for", "2h"), ("film",)):
        manager.ok("subscribe", "home1", words[0], "--config", "rate=1mbit", *words[1:], "--no-push")
    router.pull()
    services = [
        {"name": "lane", "version": "1.0.0", "state": "running", "since": 1790000000, "error": None},
        {"name": "film", "version": "1.0.0", "state": "failed", "since": None, "error": "no memory"},
    ]
    assert router.report(services=services, applied=False).status_code == 204
    lines = manager.ok("status").splitlines()
    assert lines[0].split() == [
        "DEVICE",
        "LAST",
        "CONTACT",
        "SERVICE",
        "SHOULD",
        "IS",
        "VERSION",
        "SINCE",
        "UNTIL",
        "WHY",
        "NOT",
    ]
    assert "lane     run     running  1.0.0    2026-09-21 14:13:20Z" in lines[1]
    assert "no memory" not in lines[1]
    assert lines[1].startswith("home1   0s ago")
    assert lines[2].startswith("                      film     run     failed   1.0.0")
    assert lines[2].endswith("no end                no memory")
    assert lines[3].split()[:8] == ["home2", "never", "-", "-", "-", "-", "-", "-"]
    assert lines[3].endswith("not enrolled: its claim code is not used yet")
    told = json.loads(manager.ok("status", "home1", "--json"))["devices"]
    assert [d["device"] for d in told] == ["home1"]
    assert {"order", "from", "until", "state", "since", "should", "why_not"} <= set(told[0]["services"][0])
    assert told[0]["pulled"] == told[0]["serial"]


def test_status_tells_once_what_a_device_refused(manager):
    router = manager.router()
    manager.ok("publish", manager.service("film"))
    for service in ("lane", "film"):
        manager.ok("subscribe", "home1", service, "--config", "rate=1mbit", "--no-push")
    router.pull()
    router.report(applied=False, error={"type": "bad-signature", "title": "", "detail": "not by our key"})
    lines = manager.ok("status").splitlines()
    assert lines[1].endswith("; not by our key") or lines[1].endswith("  not by our key")
    assert "not by our key" not in lines[2]


def test_status_tells_of_a_version_that_is_on_its_way(manager):
    router = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    router.pull()
    router.report()
    manager.ok("publish", manager.service(version="1.0.1"))
    assert "1.0.0 -> 1.0.1" in manager.ok("status")


def test_status_tells_of_what_runs_on_though_it_is_cancelled(manager):
    router = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    router.pull()
    router.report()
    manager.ok("unsubscribe", "home1", "lane", "--no-push")
    assert "no longer sold; ends at its next pull" in manager.ok("status")
    assert manager.ok("device", "show", "home1").endswith(
        "service:       lane 1.0.0 is running, no longer sold; ends at its next pull\n"
    )


@pytest.mark.system
@pytest.mark.parametrize("words", ["device list", "status", "--help", "audit"])
def test_a_reader_that_has_enough_is_no_error(manager, words):
    for number in range(1, 6):
        manager.ok("device", "add", f"home{number}")
    program = "import sys, isdf_manager.cli as c; sys.exit(c.main())"
    command = [sys.executable, "-c", program, "--home", str(manager.path)]
    line = f"{shlex.join(command)} {words} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_withdrawal_and_a_push_that_both_fail_are_both_told(manager, monkeypatch):
    def away(hook, request):
        if request.verb == "withdraw":
            raise provision.HookError("bras1 is away")

    def deaf(*_, **__):
        raise UnavailableError("home1 did not pull")

    monkeypatch.setattr(provision.Hook, "call", away)
    monkeypatch.setattr(push.Push, "deliver", deaf)
    manager.configure(provision={"lane": {"command": "x"}})
    manager.ok("device", "add", "home1")
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    order = json.loads(manager.ok("status", "--json"))["devices"][0]["services"][0]["order"]
    assert manager.fails("unsubscribe", "home1", "lane") == (
        f"home1 did not pull (order {order} is cancelled; 'isdf-manager status' tells more); bras1 is away; "
        f"the core still holds order {order}, 'serve' goes on trying to withdraw it"
    )
    assert manager.fails("subscribe", "home1", "lane", "--config", "rate=1mbit") == (
        "bras1 is away; the order before is not withdrawn yet, so nothing was sold; mend the hook and try again"
    )


def test_every_change_is_in_the_audit_log(manager):
    manager.ok("device", "add", "home1")
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    manager.ok("configure", "home1", "lane", "rate=2mbit")
    manager.ok("unsubscribe", "home1", "lane")
    manager.ok("device", "remove", "home1")
    lines = [line.split("  ") for line in manager.ok("audit").splitlines()]
    assert [line[2] for line in lines] == [
        "publish", "device add", "order", "subscribe", "configure", "unsubscribe", "withdrawn", "device remove",
    ]  # fmt: skip
    assert 'before={"rate": "1mbit"} after={"rate": "2mbit"}' in manager.out
    assert len(manager.ok("audit", "home1", "--last", "2").splitlines()) == 2


def test_where_there_is_nothing_yet_it_is_said(manager):
    said = "there is no device yet; 'isdf-manager device add NAME' makes one\n"
    assert manager.ok("status") == said
    assert (manager.ok("device", "list"), manager.err) == ("", said)
    manager.path = manager.folder / "second"
    manager.ok("init")
    assert manager.ok("audit") == "nothing was changed yet\n"


def test_the_audit_log_outlives_a_device(manager):
    manager.ok("device", "add", "home1")
    manager.ok("device", "remove", "home1")
    assert [line.split("  ")[2] for line in manager.ok("audit", "home1").splitlines()] == [
        "device add",
        "device remove",
    ]


def test_a_backup_is_private_and_whole(manager, tmp_path):
    manager.ok("device", "add", "home1")
    copy = tmp_path / "copy.db"
    manager.ok("backup", copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("select name from device").fetchall() == [("home1",)]
    assert "is there already; name a new file" in manager.fails("backup", copy, status=2)
    said = manager.fails("backup", tmp_path / "no" / "copy.db", status=2)
    assert said.endswith("no/copy.db cannot be made: No such file or directory; name another file")


def test_a_backup_onto_a_full_disk_leaves_nothing(manager, tmp_path, monkeypatch):
    def full(path, *_):
        raise sqlite3.OperationalError("database or disk is full")

    store = manager.home.storage(manager.home.config())
    monkeypatch.setattr(storage.sqlite3, "connect", full)
    with pytest.raises(FailedError, match="cannot be written: database or disk is full; nothing was left there"):
        store.copy(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    store.close()


def test_an_init_that_fails_can_be_repeated(manager, tmp_path, monkeypatch):
    manager.path = tmp_path / "second"
    with monkeypatch.context() as patch:
        patch.setattr(home.rotation, "begin", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert "No space left" in manager.fails("init", status=2)
    assert list(manager.path.iterdir()) == []
    manager.ok("init")


def test_tables_of_another_version_are_left_alone(manager):
    store = manager.home.storage(manager.home.config())
    with store.write() as connection:
        connection.execute(storage.manager.update().values(version=storage.VERSION + 1))
    store.close()
    assert "has tables of version 2, and this manager knows version 1" in manager.fails("status", status=2)


def test_one_process_serves_a_database(manager):
    first, second = (manager.home.storage(manager.home.config()) for _ in range(2))
    with first.serving(), pytest.raises(ConflictError, match="another 'serve' works on the database"), second.serving():
        pass
    with second.serving():
        pass
    first.close()
    second.close()


def test_serve_tells_of_what_is_hardly_meant(manager, monkeypatch):
    monkeypatch.setenv("ISDF_MANAGER_URL", "https://manager.example")
    manager.configure(tls="none", provision={"lane": {"command": "x"}, "lame": {"command": "x"}})
    parts = commands.Parts(manager.path)
    told = list(commands.doubts(parts))
    parts.close()
    assert len(told) == 2
    assert told[0].startswith("'tls: none' without 'trusted_proxies'")
    assert told[1] == "'provision' names a hook of 'lame', and no such service is published"


def test_a_database_that_is_damaged_is_a_sentence(manager):
    (manager.path / "manager.db").write_bytes(b"no database" * 1000)
    assert "cannot be used" in manager.fails("status")


def test_a_package_has_the_same_bytes_twice(manager):
    folder = manager.service()
    (folder / "Makefile").write_text("include ../../buildroot.mk\n")
    (folder / "controller.py").write_text("import nothing\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "service.pyc").write_bytes(b"x")
    (folder / "data").mkdir()
    (folder / "data" / "table.txt").write_text("1\n")
    _, first = catalogue.pack(folder)
    assert catalogue.pack(folder)[1] == first
    package = ipk.read(first)
    base = "/usr/lib/isdf/services/lane"
    assert [f.path for f in package.files if f.kind == "file"] == [
        f"{base}/data/table.txt", f"{base}/service.json", f"{base}/service.py",
    ]  # fmt: skip
    described = next(f.data for f in package.files if f.path.endswith(".json"))
    assert json.loads(described) == yaml.safe_load((folder / "service.yaml").read_text())
    assert package.control["Require-User"] == "isdf-lane:isdf"
    assert package.control["Depends"] == "isdf-agent"


def test_the_catalogue_key_may_lie_elsewhere(manager, tmp_path):
    key = tmp_path / "stick.sec"
    (manager.path / "keys" / "catalogue.sec").rename(key)
    assert "name its file or restore it" in manager.fails("publish", manager.service(version="1.0.1"), status=2)
    manager.ok("publish", manager.service(version="1.0.1"), "--key", key)
    router = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    router.pull()  # verifies it with the catalogue's public key
    assert router.assignment.services[0].version == "1.0.1"


def test_the_tables_are_postgresqls_too():
    dialect = postgresql.dialect()
    text = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in storage.schema.sorted_tables)
    assert text.count("CREATE TABLE") == 7
    indexes = [index for table in storage.schema.sorted_tables for index in table.indexes]
    text = "".join(str(CreateIndex(index).compile(dialect=dialect)) for index in indexes)
    assert "(device, service) WHERE state IN ('ordered', 'active', 'ending')" in text


def test_versions_are_in_the_order_of_the_package_managers():
    ordered = ["0.9", "1.0_alpha", "1.0_beta2", "1.0_beta10", "1.0_rc1", "1.0", "1.0.1", "1.2", "1.10"]
    assert sorted(sorted(ordered), key=version_key) == ordered


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2h", 7200), ("1h30m", 5400), ("7d", 604800), ("1w", 604800)]
)
def test_lengths_of_time(text, seconds):
    assert clock.parse_length(text) == seconds


def test_times_are_written_so_that_people_read_them():
    assert clock.format_time(1_790_000_000) == "2026-09-21 14:13:20Z"
    assert clock.parse_time("2026-09-21T14:13:20Z") == clock.parse_time("@1790000000") == 1_790_000_000
    told = [clock.format_length(s) for s in (0, 59.6, 725, 7200, 12000, 5 * 86400 + 7300)]
    assert told == ["0s", "1m", "12m 5s", "2h", "3h 20m", "5d 2h"]


def test_each_key_of_manager_yaml_is_documented():
    text = (Path(__file__).parents[2] / "docs/reference/manager-yaml.md").read_text()
    assert all(f"`{key}`" in text for key in home.KEYS)


def test_each_key_of_service_yaml_is_documented():
    text = (Path(__file__).parents[2] / "docs/reference/service-yaml.md").read_text()
    keys = manifest.SCHEMA["properties"]
    assert all(f"\n| `{key}` | {'yes' if key in manifest.SCHEMA['required'] else 'no'} |" in text for key in keys)
    assert all(f"\n| `{verb}` |" in text for verb in keys["may"]["properties"])
    assert all(f"`{name}`" in text for name in schema.FORMATS)
    example = manifest.parse(text.split("```yaml\n")[1].split("```")[0])
    assert example["name"] == "pay-per-site"


def test_pay_per_site_can_be_published(manager):
    manager.ok("publish", Path(__file__).parents[2] / "feed/pay-per-site")
    router = manager.router()
    manager.ok("subscribe", "home1", "pay-per-site", "--config", "sites=tv.example,*.film.example", "rate=200kBps")
    router.pull()
    assert router.runs() == {"pay-per-site": {"sites": ["tv.example", "*.film.example"], "rate": "200kBps"}}
