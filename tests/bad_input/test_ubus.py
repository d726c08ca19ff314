"""Calls with wrong types and by wrong people, on every method of the agent: a status or a sentence, never a fault."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.system
USER = "isdf-film"
JUNK = [
    None, True, 0, -1, 2**31, -(2**63), 1.5, 1e308, float("nan"), float("inf"), "", "x" * 5000, "\n\t'\"\\", "../..",
    "ä", [], [[]], [1, "a", {}], {}, {"a": None}, {"host": ["a"]}, {"remote": 5, "remote_port": {}, "proto": []},
]  # fmt: skip
ARGUMENTS = {
    ("isdf", "status"): ["more"],
    ("isdf", "pull"): ["more"],
    ("isdf.service", "list"): ["more"],
    ("isdf.service", "start"): ["service"],
    ("isdf.service", "stop"): ["service"],
    ("isdf.service", "config"): ["service", "version"],
    ("isdf.service", "ready"): ["service", "revision"],
    ("isdf.service", "report"): ["service", "error", "revision"],
    ("isdf.control", "add_class"): ["name", "rate", "ceil", "up", "up_ceil"],
    ("isdf.control", "remove_class"): ["name"],
    ("isdf.control", "add_class_member"): ["name", "flow", "duration"],
    ("isdf.control", "remove_class_member"): ["lease"],
    ("isdf.control", "list"): ["more"],
}
GOOD = {"name": "lane", "rate": 80000, "flow": {"remote": "198.51.100.200"}, "service": "film"}
# Many calls in one process; prints the status of each, with the words of an error in the reply.
_CALLS = """
import json, sys
from isdf import ubus
bus = ubus.connect()
told = []
for path, method, args in json.load(sys.stdin):
    try:
        error = bus.call(path, method, args, timeout=5).get("error")
        told.append([0, error and error["detail"]])
    except ubus.StatusError as error:
        told.append([int(error.status), None])
print(json.dumps(told))
"""


@pytest.fixture(scope="module", autouse=True)
def film(isp):
    isp.publish("film")
    isp.sell("film")
    isp.pull()


def calls(isp, user: str, wanted: list) -> list:
    group = "isdf" if user.startswith("isdf-") else user
    become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    argv = [*become, isp.router.python("")[0], "-c", _CALLS]
    return json.loads(isp.router.run(argv, input=json.dumps(wanted)).stdout)


@pytest.mark.parametrize("user", ["root", USER])
@pytest.mark.parametrize("method", ARGUMENTS, ids=".".join)
def test_arguments_of_wrong_types(isp, user, method):
    plain = {name: GOOD[name] for name in ARGUMENTS[method] if name in GOOD}
    if user == USER:
        plain.pop("service", None)
    wanted = [[*method, {**plain, name: junk}] for name in ARGUMENTS[method] for junk in JUNK]
    before = isp.router.log()
    told = calls(isp, user, [*wanted, [*method, {}]])
    assert len(told) == len(wanted) + 1
    for call, (status, words) in zip(wanted, told, strict=False):
        # Done, refused with a sentence, or by ubusd: no such method for this user, not permitted.
        assert status in (0, 4, 6), call
        assert words is None or 10 < len(words) < 400, call
    assert "Traceback" not in isp.router.log()[len(before) :]


@pytest.mark.parametrize("user", ["dnsmasq", "network"])
def test_a_user_that_is_neither_root_nor_a_service_reaches_nothing(isp, user):
    wanted = [[*method, {name: GOOD[name] for name in names if name in GOOD}] for method, names in ARGUMENTS.items()]
    before = isp.asked("film")
    assert {status for status, _ in calls(isp, user, wanted)} == {6}
    assert isp.asked("film") == before


@pytest.mark.parametrize(
    ("path", "method", "args"),
    [
        ("isdf.service", "stop", {"service": "pay-per-site"}),
        ("isdf.service", "start", {"service": "pay-per-site"}),
        ("isdf.service", "list", {}),
        ("isdf", "pull", {}),
        ("isdf", "status", {}),
        ("service", "delete", {"name": "isdf-service-pay-per-site"}),
        ("service", "list", {}),
    ],
)
def test_a_service_reaches_nothing_of_the_others(isp, path, method, args):
    assert calls(isp, USER, [[path, method, args]])[0][0] in (4, 6)


def test_a_service_cannot_speak_for_another(isp):
    told = calls(isp, USER, [["isdf.service", "report", {"service": "pay-per-site", "error": "I am bad"}]])
    assert told == [[0, None]]
    listing = isp.ubus("isdf.service", "list")["services"]
    assert listing["pay-per-site"]["error"] is None
    assert listing["film"]["error"] == "I am bad"
    assert calls(isp, USER, [["isdf.service", "ready", {}]]) == [[0, None]]
    assert isp.ubus("isdf.service", "list")["services"]["film"]["error"] is None
