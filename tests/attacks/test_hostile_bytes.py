"""Whatever comes from outside is taken as what it should be, or refused with an error of ours: never a fault.

Parsers that have such a test beside them already: tests/isdf/formats, tests/isdf/test_wire.py, tests/isdf/ubus,
tests/isdf_agent/monitor, tests/isdf_agent/test_uci.py.
"""

import contextlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.formats import ipk, service_package
from isdf.model import Flow
from isdf_agent.delivery.enroll import _answer
from isdf_agent.policy.grants import Grant
from isdf_agent.services.output import WORDS, cut
from isdf_manager import enrolment, reports

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def tables(*names: str):
    """Tables with these keys, more or less, and whatever values."""
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=8), values, max_size=len(names) + 2)


SERVICE = {"name": "tv", "version": "1.0.0", "state": "running", "since": 1, "error": None, "exit": None, "log": ""}
REPORT = {"serial": 1, "applied": True, "services": [SERVICE], "error": None, "agent": "0.1.0", "uptime": 1}


# -- to the manager, from routers and from anybody


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"serial": 1e999}')
def test_any_bytes_are_a_report_or_a_format_error(data):
    with contextlib.suppress(FormatError):
        _is_report(reports.parse(data))


@given(tables(*REPORT), st.lists(tables(*SERVICE), max_size=2))
@settings(max_examples=40)
def test_any_values_in_a_report_are_taken_or_a_format_error(changed, services):
    told = REPORT | changed
    if isinstance(told["services"], list):
        told["services"] = [SERVICE | service for service in services]
    with contextlib.suppress(FormatError):
        _is_report(reports.parse(json.dumps(told).encode()))


def _is_report(report: dict) -> None:
    """It can be kept and shown: known fields alone, no control characters, no more than it may have."""
    assert report.keys() == REPORT.keys()
    assert 0 <= report["serial"] < 2**53
    assert len(json.dumps(report, allow_nan=False)) < 256 * 8192
    for service in report["services"]:
        assert service.keys() == SERVICE.keys()
        texts = [v for k, v in service.items() if isinstance(v, str)]
        assert all(len(text) <= 2048 and all(c.isprintable() or c == "\n" for c in text) for text in texts)
    reports.failure(report)


@given(st.binary(max_size=200) | tables("token", "key").map(lambda value: json.dumps(value).encode()))
@example(b'{"token": "' + b"0" * 20 + b'", "key": "' + b"0" * 64 + b'"}')
@example(b"[" * 1000)
def test_any_bytes_are_an_enrolment_or_a_format_error(data):
    with contextlib.suppress(FormatError):
        token, key = enrolment.parse(data)
        assert (len(token), len(key)) == (10, 32)


# -- to a router, from whoever answers in the manager's place, or has both keys


@given(st.binary(max_size=200) | tables("device", "line").map(lambda value: json.dumps(value).encode()))
@example(b'{"device": "home1", "line": {"down": NaN, "up": 1, "base_down": 1, "base_up": 1}}')
@example(b"[" * 100_000)
def test_any_bytes_are_an_answer_to_an_enrolment_or_a_format_error(data):
    with contextlib.suppress(FormatError):
        told = _answer(data)
        assert told.keys() == {"device", "line"}
        assert "/" not in told["device"]


@given(tables("add_class", "add_class_member", "block") | values)
def test_any_limits_are_taken_or_refused(may):
    with contextlib.suppress(InvalidError):
        grant = Grant.parse(may)
        assert all(limit.max is None or limit.max >= 0 for limit in grant.limits.values())


@given(tables("host", "remote", "remote_port", "local", "local_port", "proto", "device") | values)
def test_any_flow_is_taken_or_refused(flow):
    with contextlib.suppress(InvalidError):
        assert Flow.parse(Flow.parse(flow).as_dict()) == Flow.parse(flow)


_CONTROL = {
    "Package": "isdf-service-tv", "Version": "1.0.0", "Depends": "isdf-agent", "Architecture": "all",
    "Require-User": "isdf-tv:isdf",
}  # fmt: skip
_words = st.sampled_from(
    ["isdf-service-tv", "isdf-agent", "isdf-agent, netcat", "isdf-tv:isdf", "root", "all", "1.0.0", "../1", "", "a\nb"]
)
_controls = st.dictionaries(st.sampled_from([*_CONTROL, "Provides", "Status", "X"]), _words, max_size=3)
_paths = st.lists(
    st.sampled_from(["usr", "lib", "isdf", "services", "tv", "vpn", "etc", "service.py"]), min_size=1, max_size=7
).map(lambda parts: "/" + "/".join(parts)) | st.just("/usr/lib/isdf/services/tv/x")  # fmt: skip
_files = st.builds(
    ipk.File, _paths, st.sampled_from([0o644, 0o755, 0o600, 0o777, 0o4755, 0o2755]), st.just(b""),
    st.sampled_from(["root", "isdf-tv"]), st.just("root"),
    st.sampled_from(["file", "directory", "symlink", "hardlink", "block device", "fifo"]), st.just(""),
    st.sampled_from([0, 0, 1000]), st.just(0),
)  # fmt: skip
_scripts = st.dictionaries(
    st.sampled_from(["postinst", "prerm", "preinst", "conffiles"]),
    st.sampled_from([*ipk.STANDARD_SCRIPTS.values(), b"#!/bin/sh\nreboot\n"]),
    max_size=2,
)


@given(_controls, _scripts, st.lists(_files, max_size=4))
@settings(max_examples=200)
def test_what_the_look_into_a_package_lets_pass_reaches_nothing_but_its_folder(changed, scripts, files):
    """Said once more and in other words than in the look itself."""
    control = _CONTROL | changed
    try:
        service_package.check_service_package(ipk.Package(control, scripts, tuple(files)), "tv")
    except FormatError:
        return
    assert {key: control[key] for key in _CONTROL} == {**_CONTROL, "Version": control["Version"]}
    assert control.keys() <= _CONTROL.keys()
    assert scripts.items() <= ipk.STANDARD_SCRIPTS.items()
    for file in files:
        inside = file.path.startswith("/usr/lib/isdf/services/tv/")
        above = "/usr/lib/isdf/services/tv/".startswith(file.path + "/") and file.kind == "directory"
        assert inside or above
        assert file.kind in ("file", "directory")
        assert file.mode & 0o7022 == 0
        assert (file.user, file.uid, file.gid) == ("root", 0, 0)


# -- to the agent, from what a service prints


@given(st.lists(st.binary(max_size=80) | st.just(b"python3[7]: "), max_size=20).map(b"\n".join))
def test_whatever_a_service_prints_is_cut_to_plain_text(printed):
    text = cut(printed, "python3[7]: ")
    assert len(text) <= WORDS
    assert all(c.isprintable() or c == "\n" for c in text)


def test_no_more_than_the_end_is_kept():
    assert cut(b"x python3[7]: " + b"words " * 10_000, "python3[7]: ").strip().endswith("words")
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode()  # what it is spared
    assert cut(b"python3[7]: \xff\x1b[2J", "python3[7]: ") == "\ufffd [2J"
