"""Bytecode of services: what Python itself would write, readable for the service, and gone when it is to go."""

import os
import py_compile
import subprocess
import sys

import pytest

from isdf_agent.delivery import bytecode

TAG = sys.implementation.cache_tag


@pytest.fixture
def folder(tmp_path):
    """A service of two modules, one of them in a folder of its own."""
    (tmp_path / "part").mkdir()
    (tmp_path / "service.py").write_text("import part.more\nvalue = 1\n")
    (tmp_path / "part/more.py").write_text("value = 2\n")
    (tmp_path / "service.json").write_text("{}")
    return tmp_path


def test_it_is_what_python_itself_writes(folder):
    bytecode.write(str(folder))
    wanted = folder / "wanted.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(folder / "service.py"), str(wanted), doraise=True, invalidation_mode=mode)
    assert (folder / f"__pycache__/service.{TAG}.pyc").read_bytes() == wanted.read_bytes()
    assert (folder / f"part/__pycache__/more.{TAG}.pyc").exists()


def test_it_is_what_a_service_runs(folder):
    bytecode.write(str(folder))
    (folder / "service.py").write_text("value = 'not compiled'\n")
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); import service; print(service.value)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "1\n"


def test_everybody_may_read_it_whatever_the_agent_hides(folder):
    before = os.umask(0o077)
    try:
        subprocess.run([sys.executable, "-IS", bytecode.__file__, str(folder)], check=True)
    finally:
        os.umask(before)
    assert (folder / "__pycache__").stat().st_mode & 0o777 == 0o755
    assert (folder / f"__pycache__/service.{TAG}.pyc").stat().st_mode & 0o777 == 0o644


def test_what_was_there_before_does_not_stay(folder):
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/gone.cpython-39.pyc").write_text("old")
    subprocess.run([sys.executable, "-IS", bytecode.__file__, str(folder)], check=True)
    assert [path.name for path in (folder / "__pycache__").iterdir()] == [f"service.{TAG}.pyc"]


def test_a_module_that_cannot_be_compiled_is_passed_over(folder):
    (folder / "service.py").write_text("def broken(:\n")
    (folder / "bytes.py").write_bytes(b"\xff\xfe\x00")
    done = subprocess.run(
        [sys.executable, "-IS", bytecode.__file__, str(folder), str(folder / "nowhere")], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "service.py is not compiled: invalid syntax" in done.stderr
    assert (folder / f"part/__pycache__/more.{TAG}.pyc").exists()


def test_what_is_forgotten_leaves_the_modules(folder):
    bytecode.write(str(folder))
    bytecode.forget(str(folder))
    bytecode.forget(str(folder / "nowhere"))
    assert not [path for path in folder.rglob("*") if "pyc" in path.name]
    assert (folder / "part/more.py").exists()


def test_what_lies_among_bytecode_goes_with_it(folder):
    (folder / "part/__pycache__/sub/deep").mkdir(parents=True)
    (folder / "part/__pycache__/sub/deep/x.py").write_text("value = 3\n")
    (folder / "part/__pycache__/sub/link").symlink_to(folder)
    bytecode.write(str(folder))
    bytecode.forget(str(folder))
    assert not [path for path in folder.rglob("*") if bytecode.CACHE in path.parts]
    assert (folder / "part/more.py").exists()


def test_it_fits_only_the_python_that_wrote_it(folder, monkeypatch):
    assert not bytecode.fits(str(folder))
    bytecode.write(str(folder))
    assert bytecode.fits(str(folder))
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    assert not bytecode.fits(str(folder))
