"""Who a router is, on flash: never nobody in between, wherever it is cut off."""

import json
import os
import stat

import pytest
from fakes import Crash, Steps
from simulator import Operator

from isdf.errors import InvalidError
from isdf_agent.delivery import flash
from isdf_agent.delivery.identity import Identities

URL = "https://manager.example"
LINE = {"down": 8000, "up": 8000, "base_down": 1200, "base_up": 1200}


class Flash:
    """The real one, where a step may be the last."""

    def __init__(self, monkeypatch):
        self.steps = Steps()
        for name in ("replace", "remove"):
            monkeypatch.setattr(flash, name, self._counted(getattr(flash, name)))

    def _counted(self, real):
        return lambda *words: self.steps.do(lambda: real(*words))


@pytest.fixture
def operator():
    return Operator()


@pytest.fixture
def identities(tmp_path):
    return Identities(tmp_path / "isdf")


def enrol(identities, operator, device="home1", url=URL):
    begun = identities.begin(url, operator.claim())
    return identities.complete(begun, device, LINE, operator.keys())


def test_nobody_has_no_identity(identities):
    assert identities.load() is None
    assert identities.under_way() is None


def test_what_was_completed_is_loaded(identities, operator):
    identity = enrol(identities, operator)
    loaded, keys = identities.load()
    assert loaded == identity
    assert (loaded.device, loaded.manager, loaded.line) == ("home1", URL, LINE)
    assert len(loaded.device_key) == 32
    assert keys.assignment_key == operator.assignment_key.public_key().line
    assert identities.under_way() is None


def test_the_files_are_the_owners_alone(identities, operator, tmp_path):
    enrol(identities, operator)
    identities.begin(URL, Operator().claim())
    files = sorted(path.name for path in (tmp_path / "isdf").iterdir())
    assert files == ["enrolment.json", "identity.json", "keys"]
    for path in (tmp_path / "isdf").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "isdf").stat().st_mode) == 0o700


def test_the_device_key_is_on_flash_before_anybody_can_hear_of_it(identities, operator, tmp_path):
    begun = identities.begin(URL, operator.claim())
    assert begun.identity.device_key.hex() in (tmp_path / "isdf/enrolment.json").read_text()


def test_each_router_has_a_key_of_its_own(tmp_path, operator):
    keys = {Identities(tmp_path / str(n)).begin(URL, operator.claim()).identity.device_key for n in range(5)}
    assert len(keys) == 5


def test_a_code_is_shown_with_the_same_key_again(identities, operator):
    key = identities.begin(URL, operator.claim()).identity.device_key
    assert identities.begin("https://other.example", operator.claim().lower()).identity.device_key == key
    enrol(identities, operator)
    assert identities.begin(URL, operator.claim()).identity.device_key == key


def test_another_code_gets_another_key(identities, operator):
    key = enrol(identities, operator).device_key
    operator.token = bytes(10)
    assert identities.begin(URL, operator.claim()).identity.device_key != key


def test_the_identity_stays_in_force_while_another_is_under_way(identities, operator):
    identity = enrol(identities, operator)
    operator.token = bytes(10)
    identities.begin(URL, operator.claim())
    assert identities.load()[0] == identity
    identities.abandon()
    assert identities.under_way() is None
    assert identities.load()[0] == identity


def test_a_mistyped_code_begins_nothing(identities):
    with pytest.raises(InvalidError):
        identities.begin(URL, "ABCD-EFGH")
    assert identities.under_way() is None


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("first", [True, False])
def test_a_power_cut_at_any_step_leaves_one_whole_identity(tmp_path, operator, monkeypatch, first, late):
    """Either the old one or the new one, never a mix of both; and once it is the new one, it stays."""
    new = Operator()
    new.token, new.keys_version = bytes(10), operator.keys_version + 1
    steps, at = Flash(monkeypatch), 0
    while True:
        identities = Identities(tmp_path / f"{at}")
        steps.steps = Steps()
        before = None if first else enrol(identities, operator, "old")
        old = before and (before, operator.keys_version)
        steps.steps = Steps(at, late)
        try:
            enrol(identities, new, "new")
        except Crash:
            pass
        else:
            break
        steps.steps = Steps()
        found = Identities(tmp_path / f"{at}").load()
        if found is None or found[0].device == "old":
            assert (found and (found[0], found[1].version)) == old
            assert Identities(tmp_path / f"{at}").load() == found
            assert enrol(Identities(tmp_path / f"{at}"), new, "new").device == "new"
        found = identities.load()
        assert (found[0].device, found[1].version) == ("new", new.keys_version)
        assert identities.under_way() is None
        at += 1
    assert at == 5  # begun, answered, keys, identity, the end


def test_newer_keys_are_kept_for_the_identity_that_they_came_for(identities, operator):
    identity = enrol(identities, operator)
    operator.keys_version += 1
    assert identities.keep_keys(identity, operator.keys())
    assert identities.load()[1].version == operator.keys_version
    assert not identities.keep_keys(identity._replace(device_key=bytes(32)), operator.keys(version=1))
    assert identities.load()[1].version == operator.keys_version


@pytest.mark.parametrize("name", ["identity.json", "keys"])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{}", b"[]", b'{"device_key": "00"}', b"untrusted comment: x\n"])
def test_damaged_files_count_as_not_there_and_are_named(identities, operator, tmp_path, name, data, caplog):
    enrol(identities, operator)
    (tmp_path / "isdf" / name).write_bytes(data)
    assert identities.load() is None
    assert f"{name} is damaged" in caplog.text


def test_without_the_managers_keys_the_same_code_with_the_same_key_is_the_way_back(identities, operator, tmp_path):
    key = enrol(identities, operator).device_key
    (tmp_path / "isdf/keys").write_bytes(b"")
    assert identities.begin(URL, operator.claim()).identity.device_key == key


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'{"keys": 1}', b'{"keys": "x"}', b'{"device_key": "0"}'])
def test_a_damaged_enrolment_begins_anew(identities, operator, tmp_path, data):
    identity = enrol(identities, operator)
    (tmp_path / "isdf/enrolment.json").write_bytes(data)
    assert identities.load()[0] == identity
    assert identities.under_way() is None


def test_secrets_are_in_no_representation(identities, operator):
    begun = identities.begin(URL, operator.claim())
    text = repr(begun) + repr(begun.identity) + str([begun])
    assert begun.identity.device_key.hex() not in text
    assert repr(begun.identity.device_key) not in text
    assert operator.claim() not in text


def test_what_is_there_already_is_not_written_again(tmp_path):
    assert flash.replace(tmp_path / "a/b", b"x")
    before = (tmp_path / "a/b").stat().st_ino
    assert not flash.replace(tmp_path / "a/b", b"x")
    assert (tmp_path / "a/b").stat().st_ino == before


def test_a_full_flash_is_not_left_full_of_halves(tmp_path, monkeypatch):
    flash.replace(tmp_path / "file", b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        flash.replace(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_the_file_is_what_the_reference_says(identities, operator, tmp_path):
    enrol(identities, operator)
    document = json.loads((tmp_path / "isdf/identity.json").read_text())
    assert document.keys() == {"manager", "claim", "overrules", "insecure", "device_key", "device", "line"}
