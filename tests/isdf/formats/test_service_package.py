"""The look into a package: what a service may be, and each thing that it may not."""

import pytest

from isdf.errors import FormatError
from isdf.formats import ipk
from isdf.formats.ipk import File
from isdf.formats.service_package import check_service_package
from isdf.value import replace

FOLDER = "/usr/lib/isdf/services/x"
FILES = [File(f"{FOLDER}/service.py", 0o644, b"print()\n"), File(f"{FOLDER}/service.json", 0o644, b"{}\n")]
CONTROL = {
    "Package": "isdf-service-x",
    "Version": "1.0.0",
    "Depends": "isdf-agent",
    "Require-User": "isdf-x:isdf",
    "Architecture": "all",
    "Description": "A service",
}
GOOD = ipk.read(ipk.build(CONTROL, FILES))


def test_a_plain_service_passes():
    check_service_package(GOOD, "x")


def test_all_of_openwrts_own_fields_pass():
    more = {
        "Depends": "libc, isdf-agent (>= 0.1.0), python3-isdf, isdf-agent-dns-events",
        "Source": "feeds/isdf/x", "SourceName": "isdf-service-x", "License": "GPL-2.0-or-later",
        "LicenseFiles": "LICENSE", "Section": "net", "SourceDateEpoch": "1790000000", "URL": "https://isp.example/",
        "CPE-ID": "cpe:/a:x", "Maintainer": "ISP <noc@isp.example>",
    }  # fmt: skip
    check_service_package(replace(GOOD, control={**GOOD.control, **more}), "x")


@pytest.mark.parametrize("name", ["y", "x2", ""])
def test_a_package_of_another_service_is_refused(name):
    with pytest.raises(FormatError, match="Package is 'isdf-service-x'"):
        check_service_package(GOOD, name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Package", "busybox"), ("Architecture", "mips_24kc"), ("Require-User", "isdf-x"), ("Require-User", "root:r"),
        ("Require-User", "isdf-x=0:isdf=0"), ("Require-User", "isdf-x:isdf:shadow"), ("Version", ""),
        ("Version", "1:1.0"), ("Version", "1.0 "), ("Version", "$(reboot)"), ("Depends", "busybox"), ("Depends", ""),
        ("Depends", "isdf-agent,"), ("Depends", "isdf-agent | busybox"), ("Depends", "isdf-agent  ,isdf-agent"),
        ("Depends", "isdf-service-y"), ("Depends", "isdf-agent (> x; y)"),
    ]
    + [(field, "busybox") for field in (
        "Provides", "Replaces", "Conflicts", "Alternatives", "Pre-Depends", "Recommends", "Suggests", "Essential",
        "Status", "Conffiles", "Auto-Installed", "Filename", "ABIVersion", "DependsX", "provides", "Tags",
    )],
)  # fmt: skip
def test_other_control_fields_are_refused(field, value):
    with pytest.raises(FormatError):
        check_service_package(replace(GOOD, control={**GOOD.control, field: value}), "x")


@pytest.mark.parametrize("field", ["Package", "Architecture", "Require-User", "Version"])
def test_a_missing_field_is_refused(field):
    control = {name: value for name, value in GOOD.control.items() if name != field}
    with pytest.raises(FormatError):
        check_service_package(replace(GOOD, control=control), "x")


@pytest.mark.parametrize(
    ("script", "body"),
    [
        ("postinst", ipk.POSTINST + b"reboot\n"),
        ("postinst", ipk.PRERM),
        ("prerm", ipk.PRERM[:-1]),
        ("preinst", ipk.POSTINST),
        ("postrm", b""),
        ("postinst-pkg", b"#!/bin/sh\n"),
        ("prerm-pkg", b"#!/bin/sh\n"),
        ("conffiles", b"/etc/passwd\n"),
        ("list", b""),
    ],
)
def test_any_script_but_the_standard_ones_is_refused(script, body):
    with pytest.raises(FormatError, match="not OpenWrt's standard one"):
        check_service_package(replace(GOOD, scripts={**GOOD.scripts, script: body}), "x")


@pytest.mark.parametrize(
    "file",
    [
        File("/etc/init.d/x", 0o755),
        File("/usr/lib/isdf/services/y/service.py", 0o644),
        File("/usr/lib/isdf/services/x2", 0o755, kind="directory"),
        File("/usr/lib/isdf/services/x2/a", 0o644),
        File("/usr/lib/isdf/services", 0o644),
        File("/etc", 0o755, kind="directory"),
        File(f"{FOLDER}/link", 0o777, kind="symlink", target="/etc/shadow"),
        File(f"{FOLDER}/link", 0o644, kind="hardlink", target="./etc/shadow"),
        File(f"{FOLDER}/dev", 0o600, kind="block device"),
        File(f"{FOLDER}/fifo", 0o600, kind="fifo"),
        File(f"{FOLDER}/suid", 0o4755),
        File(f"{FOLDER}/sgid", 0o2755),
        File(f"{FOLDER}/sticky", 0o1755, kind="directory"),
        File(f"{FOLDER}/open", 0o666),
        File(f"{FOLDER}/group", 0o664),
        File(f"{FOLDER}/owned", 0o644, user="nobody"),
        File(f"{FOLDER}/owned", 0o644, group="shadow"),
        File(f"{FOLDER}/owned", 0o644, uid=1),
        File(f"{FOLDER}/owned", 0o644, gid=1),
        File(f"{FOLDER}/service.py/below", 0o644),
        File(f"{FOLDER}/secret", 0o600),
        File(FOLDER, 0o777, kind="directory"),
        File("/usr", 0o775, kind="directory"),
        File("/usr", 0o700, kind="directory"),
        File("/", 0, kind="directory"),
        File("/", 0o644, kind="directory"),
    ],
)
def test_any_file_but_its_own_plain_ones_is_refused(file):
    with pytest.raises(FormatError, match="isdf-service-x"):
        check_service_package(replace(GOOD, files=(*GOOD.files, file)), "x")


@pytest.mark.parametrize("path", ["__pycache__/service.cpython-311.pyc", "__pycache__/sub/x.py", "service.pyc"])
def test_bytecode_is_refused_for_a_router_makes_its_own(path):
    package = replace(GOOD, files=(*GOOD.files, File(f"{FOLDER}/{path}", 0o644, b"x")))
    with pytest.raises(FormatError, match="has bytecode"):
        check_service_package(package, "x")
