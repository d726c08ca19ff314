"""Paths do what those of `pathlib` do, which is the oracle here."""

import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.path import Path

PARTS = st.text("ab./", min_size=1, max_size=8).filter(lambda text: not text.startswith("//"))
SORTS = [Path, pathlib.Path]


@given(PARTS, PARTS)
def test_joining_and_taking_apart(first, second):
    ours, theirs = Path(first) / second, pathlib.PurePosixPath(first) / second
    assert str(ours) == str(theirs)
    assert str(ours.parent) == str(theirs.parent)
    if theirs.name not in ("", ".."):
        assert ours.name == theirs.name
        assert str(ours.with_name("x")) == str(theirs.with_name("x"))
        assert Path(first, second) == ours


@pytest.mark.parametrize("text", ["/etc/isdf.json", "a.tar.gz", "/x/.hidden", "plain"])
def test_endings(text):
    assert Path(text).stem == pathlib.PurePosixPath(text).stem
    assert str(Path(text).with_suffix(".new")) == str(pathlib.PurePosixPath(text).with_suffix(".new"))


@pytest.mark.parametrize(("path", "start"), [("/a/b", "/"), ("/a/b", "/a"), ("/a", "/a"), ("/ab", "/a"), ("a", "/a")])
def test_below(path, start):
    found = []
    for sort in SORTS:
        try:
            found.append(str(sort(path).relative_to(sort(start))))
        except ValueError:
            found.append("not below")
    assert found[0] == found[1]


@pytest.mark.parametrize("sort", SORTS)
def test_files_and_folders(sort, tmp_path):
    folder = sort(str(tmp_path)) / "a" / "b"
    with pytest.raises(FileNotFoundError):
        folder.mkdir()
    folder.mkdir(0o700, parents=True)
    folder.mkdir(exist_ok=True)
    with pytest.raises(FileExistsError):
        folder.mkdir()
    assert (folder.parent.is_dir(), (tmp_path / "a/b").stat().st_mode & 0o777) == (True, 0o700)
    file = folder / "x"
    file.write_text("é")
    assert (file.read_bytes(), file.read_text(), file.is_file(), file.exists()) == (b"\xc3\xa9", "é", True, True)
    file.write_bytes(b"\xff")
    assert file.read_text(errors="replace") == "\ufffd"
    with pytest.raises(FileExistsError):
        file.mkdir(exist_ok=True)
    assert [str(found) for found in folder.iterdir()] == [str(file)]
    file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()
    assert not file.exists()


def test_it_costs_no_heavy_module():
    code = "import sys, isdf.path; print(sorted({'pathlib', 'ipaddress', 'urllib.parse', 're'} & sys.modules.keys()))"
    argv = [sys.executable, "-ISc", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "[]\n"
