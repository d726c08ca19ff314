"""The package index: what OpenWrt's own scripts would make of the same packages."""

import hashlib
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.formats import gz, ipk, opkg_index
from isdf.formats.ipk import File

CONTROL = {
    "Package": "isdf-service-x",
    "Version": "1.0.0",
    "Depends": "isdf-agent",
    "Source": "feeds/isdf/x",
    "SourceName": "isdf-service-x",
    "License": "GPL-2.0-or-later",
    "LicenseFiles": "LICENSE",
    "Section": "net",
    "Require-User": "isdf-x:isdf",
    "SourceDateEpoch": "1790000000",
    "URL": "https://isp.example/",
    "Maintainer": "ISP <noc@isp.example>",
    "Architecture": "all",
    "Description": "A service\nof two lines",
}


def package(name, description="A service\nof two lines"):
    control = {**CONTROL, "Package": name, "Description": description}
    return ipk.build(control, [File(f"/usr/lib/isdf/services/{name}/service.py", 0o644, b"")])


def indexed(packages):
    entries = []
    for filename, data in packages.items():
        control = ipk.read(data).control
        entries.append(opkg_index.entry(control, filename, len(data), hashlib.sha256(data).hexdigest()))
    return opkg_index.dump(entries)


def by_openwrts_rules(packages, folder):
    """tar and text tools, in the way of ipkg-make-index.sh and package/Makefile."""
    out = ""
    for filename, data in sorted(packages.items()):
        (folder / filename).write_bytes(data)
        command = f"tar -xzOf {filename} ./control.tar.gz | tar -xzOf - ./control"
        control = subprocess.run(["sh", "-ec", command], cwd=folder, capture_output=True, text=True, check=True).stdout
        facts = f"Filename: {filename}\nSize: {len(data)}\nSHA256sum: {hashlib.sha256(data).hexdigest()}\n"
        out += re.sub("^Description:", facts + "Description:", control, flags=re.MULTILINE) + "\n"
    left_out = re.compile("Maintainer|LicenseFiles|Source|SourceName|Require|SourceDateEpoch")
    kept = "".join(line for line in (out or "\n").splitlines(keepends=True) if not left_out.match(line))
    return (kept + "\n\n" if (64 + len(kept)) % 128 in (110, 111) else kept).encode()


@pytest.mark.parametrize("names", [[], ["isdf-service-x"], ["isdf-service-b", "isdf-service-a", "isdf-service-a-b"]])
def test_it_is_what_openwrts_scripts_make(names, tmp_path):
    packages = {f"{name}_1.0.0_all.ipk": package(name) for name in names}
    assert indexed(packages) == by_openwrts_rules(packages, tmp_path)


def test_it_is_padded_at_the_lengths_that_openwrt_pads(tmp_path):
    padded = 0
    for extra in range(128):
        packages = {"x.ipk": package("isdf-service-x", "x" * (10 + extra))}
        index = indexed(packages)
        assert (64 + len(index)) % 128 not in (110, 111)
        if index.endswith(b"\n\n\n"):
            padded += 1
            assert index == by_openwrts_rules(packages, tmp_path)
    assert padded == 2


def test_it_is_read_again():
    packages = {f"{name}_1.0.0_all.ipk": package(name) for name in ("isdf-service-a", "isdf-service-b")}
    index = indexed(packages)
    entries = opkg_index.parse(index)
    assert [fields["Package"] for fields in entries] == ["isdf-service-a", "isdf-service-b"]
    assert opkg_index.dump(entries) == index


def test_the_compressed_one_is_the_same_each_time_and_reads_with_gzip():
    index = indexed({"x.ipk": package("isdf-service-x")})
    packed = opkg_index.compress(index)
    assert packed == opkg_index.compress(index)
    assert gz.decompress(packed, 1 << 20) == index
    assert subprocess.run(["gzip", "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout == index


@given(st.binary(max_size=200) | st.text("PackgeVrsionD: \n,", max_size=80).map(str.encode))
def test_any_bytes_are_an_index_or_a_format_error(data):
    try:
        opkg_index.parse(data)
    except FormatError:
        pass


@pytest.mark.parametrize("text", ["Version: 1\n\n", "Package: a\n\nPackage: a\n\n", "Package:\n\n"])
def test_an_entry_without_a_name_of_its_own_is_refused(text):
    with pytest.raises(FormatError):
        opkg_index.parse(text.encode())


@pytest.mark.parametrize("change", [{"Package": ""}, {"Filename": ""}, {"Depends": "isdf-agent, "}, {"Depends": ""}])
def test_what_would_crash_opkg_is_not_written(change):
    fields = opkg_index.entry(CONTROL, "x.ipk", 1, "0" * 64) | change
    with pytest.raises(InvalidError):
        opkg_index.dump([fields])
