"""Packages: built by the rules of OpenWrt's scripts, readable by tar(1), and read without trust."""

import io
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.formats import gz, ipk, tar
from isdf.formats.ipk import File

CONTROL = {
    "Package": "isdf-service-x",
    "Version": "1.0.0",
    "Depends": "isdf-agent",
    "Require-User": "isdf-x:isdf",
    "Architecture": "all",
    "Installed-Size": "0",
    "Description": "A service\nof two lines",
}
FOLDER = "/usr/lib/isdf/services/x"
FILES = [File(f"{FOLDER}/service.py", 0o644, b"print()\n"), File(f"{FOLDER}/service.json", 0o644, b"{}\n")]


def shell(script, cwd):
    return subprocess.run(["sh", "-ec", script], cwd=cwd, stdout=subprocess.PIPE, check=True).stdout


def test_the_same_input_gives_the_same_package():
    assert ipk.build(CONTROL, FILES) == ipk.build(CONTROL, list(reversed(FILES)))


def test_source_date_epoch_is_the_time_of_all(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    with tarfile.open(fileobj=io.BytesIO(ipk.build(CONTROL, FILES))) as outer:
        assert {member.mtime for member in outer} == {1790000000}
        with tarfile.open(fileobj=outer.extractfile("./data.tar.gz")) as inner:
            assert {member.mtime for member in inner} == {1790000000}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InvalidError, match="SOURCE_DATE_EPOCH"):
        ipk.build(CONTROL, FILES)


def test_it_is_what_openwrts_rules_make(tmp_path):
    """The steps of OpenWrt's ipkg-build by tar and gzip themselves; all but gzip's own compression is compared."""
    for file in FILES:
        path = tmp_path / f"tree{file.path}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    pack = "tar --format=gnu --sort=name --owner=root:0 --group=root:0 --mode=u=rwX,go=rX --mtime=@0 -cf-"
    data = shell(f"cd tree; {pack} . | gzip -n", tmp_path)
    (tmp_path / "control").mkdir()
    (tmp_path / "control/control").write_text(
        "Package: isdf-service-x\nVersion: 1.0.0\nDepends: isdf-agent\nRequire-User: isdf-x:isdf\nArchitecture: all\n"
        f"Installed-Size: {len(gz.compress(gz.decompress(data, 1 << 20)))}\nDescription:  A service\n of two lines\n"
    )
    for name, body in ipk.STANDARD_SCRIPTS.items():
        (tmp_path / "control" / name).write_bytes(body)
        (tmp_path / "control" / name).chmod(0o755)
    control = shell(f"cd control; {pack} . | gzip -n", tmp_path)
    (tmp_path / "data.tar.gz").write_bytes(gz.compress(gz.decompress(data, 1 << 20)))
    (tmp_path / "control.tar.gz").write_bytes(gz.compress(gz.decompress(control, 1 << 20)))
    (tmp_path / "debian-binary").write_text("2.0\n")
    reference = shell(f"{pack} ./debian-binary ./data.tar.gz ./control.tar.gz", tmp_path)
    ours = ipk.build(CONTROL, FILES, mtime=0)
    assert gz.decompress(ours, 1 << 20) == reference
    assert ours[:10] == shell("printf x | gzip -n", tmp_path)[:10]


def test_tar_unpacks_it(tmp_path):
    (tmp_path / "x.ipk").write_bytes(ipk.build(CONTROL, FILES))
    listed = shell("tar -xzOf x.ipk ./data.tar.gz | tar -tzf -", tmp_path).decode().split()
    assert listed == ["./", "./usr/", "./usr/lib/", "./usr/lib/isdf/", "./usr/lib/isdf/services/", f".{FOLDER}/",
                      f".{FOLDER}/service.json", f".{FOLDER}/service.py"]  # fmt: skip
    assert shell("tar -xzOf x.ipk ./control.tar.gz | tar -xzOf - ./prerm", tmp_path) == ipk.PRERM


def test_what_is_built_is_read_again():
    package = ipk.read(ipk.build(CONTROL, FILES))
    assert list(package.control) == list(CONTROL)
    assert package.control == {**CONTROL, "Installed-Size": package.control["Installed-Size"]}
    assert package.scripts == ipk.STANDARD_SCRIPTS
    assert [file for file in package.files if file.kind == "file"] == sorted(FILES, key=lambda file: file.path)


def test_links_devices_and_owners_are_reported():
    odd = [
        File("/dev/x", 0o666, kind="character device"),
        File("/etc/x", 0o777, kind="symlink", target="/etc/shadow"),
        File("/x", 0o4755, b"#!", user="isdf-x", uid=7),
    ]
    read = ipk.read(ipk.build(CONTROL, odd)).files
    assert [file for file in read if file.kind != "directory"] == odd


@pytest.mark.parametrize("missing", ["Package", "Version", "Architecture"])
def test_a_package_needs_a_name_a_version_and_an_architecture(missing):
    with pytest.raises(InvalidError, match=missing):
        ipk.build({name: value for name, value in CONTROL.items() if name != missing}, FILES)


@pytest.mark.parametrize("paths", [["/a", "/a"], ["/a", "/a/b"], ["a"], ["/../a"]])
def test_files_that_cannot_stand_beside_each_other_are_refused(paths):
    with pytest.raises(InvalidError):
        ipk.build(CONTROL, [File(path, 0o644) for path in paths])


def members(**changes):
    """A package of tar's making whose three members are replaced or left out (None)."""
    package = tar.read(gz.decompress(ipk.build(CONTROL, FILES), 1 << 20))
    named = {file.path[1:].split(".")[0].split("-")[0]: file for file in package}
    bodies = {name: changes.get(name, file.data) for name, file in named.items()}
    return [File(named[name].path, 0o644, body) for name, body in bodies.items() if body is not None]


def packed(files):
    return gz.compress(tar.write(files, 0))


CONTROL_FILE = File("/control", 0o644, b"Package: x\n")


@pytest.mark.parametrize(
    "broken",
    [
        members(data=None),
        members(control=None),
        members(debian=None),
        members(debian=b"3.0\n"),
        [*members(), File("/extra", 0o644)],
        [*members(), members()[1]],
        members(control=packed([])),
        members(control=packed([File("/control", 0o644, b"")])),
        members(control=packed([File("/control", 0o644, b"Package: x\n\nPackage: y\n")])),
        members(control=packed([CONTROL_FILE, CONTROL_FILE])),
        members(control=packed([CONTROL_FILE, File("/postinst", 0o4755)])),
        members(control=packed([CONTROL_FILE, File("/a/b", 0o644)])),
        members(control=packed([CONTROL_FILE, File("/postinst", 0o755, kind="symlink", target="x")])),
        members(data=packed([FILES[0], FILES[0]])),
        members(data=b"no gzip"),
        members(data=gz.compress(b"no tar")),
    ],
)
def test_what_is_no_package_is_refused(broken):
    with pytest.raises(FormatError):
        ipk.read(packed(broken))


def test_a_package_that_unpacks_to_too_much_is_refused():
    bomb = packed([*members(data=packed([File("/x", 0o644, bytes(2 << 20))]))])
    assert len(bomb) < 10_000
    with pytest.raises(FormatError, match="more than the 1048576 bytes"):
        ipk.read(bomb, max_size=1 << 20)


@settings(max_examples=60)
@given(st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(data):
    package = bytearray(ipk.build(CONTROL, FILES))
    at = data.draw(st.integers(0, len(package) - 1))
    package[at] ^= data.draw(st.integers(1, 255))
    try:
        assert ipk.read(bytes(package)) == ipk.read(ipk.build(CONTROL, FILES))
    except FormatError:
        pass
