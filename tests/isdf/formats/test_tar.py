"""tar: byte for byte GNU tar's own, and nothing ambiguous is read."""

import io
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.formats import tar
from isdf.formats.tar import File

names = st.text("abcz.-_0é", min_size=1, max_size=60).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
entries = st.one_of(
    st.builds(File, paths, st.integers(0, 0o7777), st.binary(max_size=1200)),
    st.builds(File, paths, st.integers(0, 0o7777), kind=st.just("directory")),
    st.builds(File, paths, st.just(0o777), kind=st.sampled_from(["symlink", "hardlink"]), target=paths),
    st.builds(File, paths, st.just(0o600), kind=st.sampled_from(["fifo", "character device", "block device"])),
    st.builds(File, paths, st.just(0o644), user=st.just("isdf-x"), group=st.just("isdf"), uid=st.integers(0, 99999)),
)


def test_it_writes_what_gnu_tar_writes(tmp_path):
    deep = "usr/lib/isdf/services/" + "long-name-" * 9
    files = {f"{deep}/service.py": b"print()\n", "a-b": b"", "a/x": bytes(600), "a/y z": b"y", "B": b"upper"}
    for name, data in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    for folder in [tmp_path / "tree", *(p for p in (tmp_path / "tree").rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    (tmp_path / "tree/link").symlink_to("a/x")
    command = "tar --format=gnu --sort=name --owner=root:0 --group=root:0 --mtime=@1790000000 -cf- ."
    reference = subprocess.run(command.split(), cwd=tmp_path / "tree", stdout=subprocess.PIPE, check=True).stdout
    ours = [File("/" + name, 0o644, data) for name, data in files.items()]
    ours += [File(p, 0o755, kind="directory") for p in ("/", "/a", "/usr", "/usr/lib", "/usr/lib/isdf")]
    ours += [File(p, 0o755, kind="directory") for p in ("/usr/lib/isdf/services", "/" + deep)]
    ours += [File("/link", 0o777, kind="symlink", target="a/x")]
    ours.sort(key=lambda file: tar.order(file.path))
    assert tar.write(ours, 1790000000) == reference
    assert tar.read(reference) == ours


@given(st.lists(entries, max_size=5))
def test_what_is_written_is_read_again(files):
    assert tar.read(tar.write(files, 0)) == files


@given(st.lists(entries, max_size=3), st.data())
def test_a_changed_byte_changes_content_alone_or_is_refused(files, data):
    archive = bytearray(tar.write(files, 0))
    archive[data.draw(st.integers(0, len(archive) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = tar.read(bytes(archive))
    except FormatError:
        return
    assert [(f.path, f.kind, f.mode, f.uid) for f in read] == [(f.path, f.kind, f.mode, f.uid) for f in files]


@given(st.binary(max_size=2000))
def test_any_bytes_are_an_archive_or_a_format_error(data):
    try:
        tar.read(data)
    except FormatError:
        pass


def archive_of(format=tarfile.GNU_FORMAT, **fields):
    """An archive of one entry made by Python's tarfile."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        info = tarfile.TarInfo("./x")
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


@pytest.mark.parametrize(
    "name", ["x", "/etc/passwd", "../x", "./../x", "./a/../b", "./a//b", "./a/./b", "./a\nb", ".", ""]
)
def test_paths_outside_or_twofold_are_refused(name):
    with pytest.raises(FormatError):
        tar.read(archive_of(name=name))


@pytest.mark.parametrize(
    "archive",
    [
        archive_of(format=tarfile.USTAR_FORMAT),
        archive_of(format=tarfile.PAX_FORMAT, name="./" + "ü" * 60),
        archive_of(linkname="./y"),  # a regular file with a target: opkg makes a hard link of it
        archive_of(type=b"7"),
        archive_of(type=b"\0"),
        archive_of(type=b"S"),
        archive_of(type=b"5", size=512),
        archive_of(type=b"2"),
        archive_of(name="./x/"),
        archive_of(uid=2**30),
        archive_of()[:512],
        archive_of()[:1024],
        archive_of() + b"x",
        archive_of() + bytes(7),
        b"",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(archive):
    with pytest.raises(FormatError):
        tar.read(archive)


def test_the_number_of_entries_is_bounded():
    with pytest.raises(FormatError, match="more than 1024"):
        tar.read(tar.write([File(f"/{i}", 0o644) for i in range(1025)], 0))


@pytest.mark.parametrize("path", ["x", "", "/..", "/a/", "/a//b", "/a\0b"])
def test_no_such_path_is_written(path):
    with pytest.raises(InvalidError):
        tar.write([File(path, 0o644)], 0)
