"""The ledger's file: replaced as a whole, and never believed blindly."""

import pytest

from isdf_agent.policy.ledger import FileLedger


def test_what_is_saved_is_loaded(tmp_path):
    ledger = FileLedger(tmp_path / "run" / "ledger.json")
    assert ledger.load() is None
    ledger.save({"format": 1, "classes": []})
    ledger.save({"format": 1, "classes": [1]})
    assert ledger.load() == {"format": 1, "classes": [1]}
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["ledger.json"]
    assert (tmp_path / "run" / "ledger.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"", b'{"format": 1, "cla', b"\xff\xfe", b"[]", b"[" * 100_000])
def test_a_broken_file_is_nothing_and_says_so(tmp_path, caplog, data):
    path = tmp_path / "ledger.json"
    path.write_bytes(data)
    assert FileLedger(path).load() is None
    assert "starting with nothing held" in caplog.text


def test_a_file_system_that_takes_no_more_is_logged(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    FileLedger(tmp_path / "file" / "ledger.json").save({})
    assert "cannot be written" in caplog.text
