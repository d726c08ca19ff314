"""What the manager answers over HTTP, and to whom."""

import gzip
import hashlib
import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from isdf import wire
from isdf.errors import NotFoundError, from_dict
from isdf_manager import app, authentication, metrics, reports, storage
from isdf_manager.accesslog import masked

API = yaml.safe_load((Path(__file__).parents[2] / "docs/reference/manager-api.yaml").read_text())


@pytest.fixture
def router(manager):
    made = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    made.pull()
    return made


def path(router):
    return f"/device/{router.name}/assignment"


def test_the_described_routes_are_the_routes():
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.ROUTES.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == {(p, m) for p, operations in API["paths"].items() for m in operations if m != "parameters"}


def test_each_problem_is_described():
    described = set(API["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
    assert {"unauthorized", "clock-skew", "not-found", "bad-format", "too-large", "failed"} <= described


def test_a_plain_feed_for_opkg(router):
    packages = router.get(f"{router.feed}/Packages")
    assert packages.content_type.startswith("text/plain")
    assert packages.text.startswith("Package: isdf-service-lane\nVersion: 1.0.0\nDepends: isdf-agent\n")
    assert "Maintainer" not in packages.text
    assert "Require" not in packages.text
    zipped = router.get(f"{router.feed}/Packages.gz")
    assert zipped.content_type == "application/gzip"
    assert gzip.decompress(zipped.data) == packages.data
    router.verify(router.get(f"{router.feed}/Packages.sig").text, packages.data, router.keys.assignment_key)
    package = router.get(f"{router.feed}/isdf-service-lane_1.0.0_all.ipk")
    assert package.content_type == "application/octet-stream"
    assert int(package.headers["Content-Length"]) == len(package.data) == router.assignment.services[0].size
    for answer in (packages, zipped, package):
        again = router.get(answer.request.path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_an_old_publication_stays_at_its_address(router, manager):
    before = router.get(f"{router.feed}/Packages").data
    digest = hashlib.sha256(before).hexdigest()
    manager.ok("unsubscribe", "home1", "lane", "--no-push")
    assert router.get(f"{router.feed}/Packages").data == b"\n"
    assert router.get(f"{router.feed}/{digest}/Packages").data == before
    assert "immutable" in router.get(f"{router.feed}/{digest}/Packages").headers["Cache-Control"]
    assert router.get(f"{router.feed}/{digest}/isdf-service-lane_1.0.0_all.ipk").status_code == 200
    assert router.get(f"{router.feed}/isdf-service-lane_1.0.0_all.ipk").status_code == 404


def test_a_feed_opens_to_its_secret_alone(router, manager):
    other = manager.router("home2")
    other.pull()
    secret = router.feed.rsplit("/", 1)[1]
    refused = [
        router.get(f"/feed/home1/{secret[:-1]}/Packages"), router.get(f"/feed/home2/{secret}/Packages"),
        router.get(f"/feed/nobody/{secret}/Packages"), router.get("/feed/home1//Packages"),
        router.get(f"{router.feed}/manager.db"), router.get(f"{router.feed}/{'0' * 64}/Packages"),
        router.get(f"{router.feed}/..%2f..%2fmanager.db"), router.get(f"/feed/home1/{secret}é/Packages"),
    ]  # fmt: skip
    assert {(a.status_code, a.content_type) for a in refused} == {(404, "application/problem+json")}
    assert other.get(f"{other.feed}/Packages").status_code == 200
    assert isinstance(from_dict(refused[0].json), NotFoundError)


def test_an_assignment_only_to_its_device(router, manager):
    other = manager.router("home2")
    refused = [
        router.request("GET", path(router), signed=False),
        router.request("GET", path(router), key=os.urandom(32)),
        router.request("GET", path(other)),
        router.request("GET", "/device/nobody/assignment"),
        router.request("GET", path(router), nonce=""),
        router.request("GET", path(router), headers={"Isdf-Time": "soon"}, signed=False),
    ]
    assert {(a.status_code, a.data) for a in refused} == {(401, refused[0].data)}
    assert refused[0].json["type"] == "unauthorized"
    assert router.request("GET", path(router)).status_code == 200


def test_an_unknown_device_costs_the_same_work(router, monkeypatch):
    compared = []
    verify = authentication.wire.verify_request
    monkeypatch.setattr(authentication.wire, "verify_request", lambda *a: compared.append(a) or verify(*a))
    for name in ("home1", "nobody"):
        assert router.request("GET", f"/device/{name}/assignment", key=os.urandom(32)).status_code == 401
    assert len(compared) == 2


def test_a_signature_is_of_one_path_and_body(router):
    seal = wire.sign_request(wire.derive(router.key, "request"), "GET", path(router), "", 1, "n" * 16)
    headers = {"Isdf-Time": "1", "Isdf-Nonce": "n" * 16, "Isdf-Signature": seal}
    assert router.get(path(router) + "?x=1", headers=headers).json["type"] == "unauthorized"
    assert router.get(path(router), headers=headers).json["type"] == "clock-skew"


def test_a_body_is_read_only_of_a_genuine_request_and_must_be_the_one_that_was_signed(router):
    class Unread(io.BytesIO):
        def read(self, *_):
            raise AssertionError("the body was read")

    path, body = "/device/home1/report", json.dumps({"serial": 1, "applied": True}).encode()
    forged = {"Isdf-Time": "1", "Isdf-Nonce": "n" * 16, "Isdf-Signature": "0" * 64, "Content-Length": "5"}
    answer = router.client.open(path, method="POST", input_stream=Unread(), headers=forged)
    assert answer.json["type"] == "unauthorized"
    for changed in (body.replace(b"true", b"null"), b""):
        assert router.request("POST", path, changed, digest=wire.content_digest(body)).json["type"] == "unauthorized"
    assert router.request("POST", path, body, digest="").json["type"] == "unauthorized"
    assert router.request("POST", path, body).status_code == 204


def test_a_request_is_taken_once(router):
    now = int(time.time())
    assert router.request("GET", path(router), time=now, nonce="n" * 16).status_code == 200
    assert router.request("GET", path(router), time=now, nonce="n" * 16).status_code == 401
    assert router.request("GET", path(router), time=now, nonce="m" * 16).status_code == 200


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets, and by which processes run."""
    made = SimpleNamespace(now=1_790_000_000.0, running=0.0)
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=lambda: made.running))
    return made


def asks(router, stamp, nonce="n" * 16):
    answer = router.request("GET", path(router), time=int(stamp), nonce=nonce)
    return answer.json["type"] if answer.status_code == 401 else answer.status_code


@pytest.mark.parametrize("second", [0.0, 0.5, 0.7, 0.75, 0.8, 0.99])
def test_no_request_is_taken_again_by_the_next_process(router, manager, clock, second):
    """Not even one that was taken just before it began, from a router whose clock is ahead by what is allowed."""
    clock.now += second
    router.client = manager.client(lambda: clock.now, uptime=1000)
    before = [clock.now - 1, clock.now, clock.now + 0.25]
    for number, stamp in enumerate(before):
        assert asks(router, stamp, f"nonce-{number:03}") == 200
    router.client = manager.client(lambda: clock.now, uptime=0)
    application = manager.applications[-1]
    pause = application.pause()
    assert 0.25 <= pause <= 1.25
    for step in (0, pause, 1):
        clock.now += step
        clock.running += step
        for number, stamp in enumerate(before):
            assert asks(router, stamp, f"nonce-{number:03}") == "clock-skew"
    assert application.pause() == 0
    assert asks(router, clock.now) == 200


def test_who_asks_after_the_pause_is_taken(router, manager, clock):
    clock.now += 0.6
    router.client = manager.client(lambda: clock.now, uptime=0)
    pause = manager.applications[-1].pause()
    assert asks(router, clock.now) == "clock-skew"
    clock.now += pause
    clock.running += pause
    assert asks(router, clock.now) == 200


@pytest.mark.parametrize("change", [3600, -3600])
def test_a_clock_that_is_set_keeps_nobody_waiting(router, manager, clock, change):
    router.client = manager.client(lambda: clock.now, uptime=0)
    clock.now += change
    assert manager.applications[-1].pause() <= 1.25
    clock.now += 1.25
    clock.running += 1.25
    assert asks(router, clock.now) == 200


@pytest.mark.parametrize(
    ("second", "off", "answer"),
    [(0, -301, "clock-skew"), (0, -299, 200), (0, 0, 200), (0.7, 1, "clock-skew"), (0.8, 1, 200), (0, 4, "clock-skew")],
)
def test_a_time_may_be_old_but_hardly_ahead(router, manager, clock, second, off, answer):
    router.client = manager.client(lambda: clock.now + second, uptime=1000)
    assert asks(router, clock.now + off) == answer


def test_a_clock_that_is_wrong_is_told_to_who_can_sign_alone(router):
    answer = router.request("GET", path(router), time=1000)
    assert (answer.status_code, answer.json["type"]) == (401, "clock-skew")
    assert "it is " in answer.json["detail"]
    assert router.request("GET", path(router), time=1000, key=os.urandom(32)).json["type"] == "unauthorized"


def test_an_assignment_that_is_known_is_not_sent_again(router):
    assert router.pull() is False


def test_a_pull_that_shows_another_etag_gets_it_whole(router):
    router.etag = "0" * 64
    router.assignment = None
    assert router.pull() is True


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"serial": NaN, "applied": true}', b'{"serial": 1, "applied": 1}',
     b'{"serial": -1, "applied": true}', b'{"serial": 1, "applied": true, "services": {}}',
     b'{"serial": 1, "applied": true, "services": [1]}', b'{"serial": 1, "applied": true, "services": [{"name": 5}]}',
     b'{"serial": 1, "applied": true, "error": 5}', b'{"serial": 1, "applied": true, "uptime": "long"}',
     b'{"serial": 1, "applied": true, "agent": []}', b"[" * 50000],
)  # fmt: skip
def test_a_report_that_is_none(router, body):
    answer = router.request("POST", "/device/home1/report", body)
    assert (answer.status_code, answer.json["type"]) == (400, "bad-format")


def test_a_report_is_bounded_and_has_no_control_characters(router, manager):
    assert router.request("POST", "/device/home1/report", b" " * 70000).status_code == 413
    nasty = "\x1b[2J<b>boom</b>\n" + "x" * 5000
    body = {"serial": 1, "applied": True, "services": [{"name": "lane", "state": "failed", "error": nasty}]}
    assert router.request("POST", "/device/home1/report", json.dumps(body).encode()).status_code == 204
    shown = manager.ok("status")
    assert "\x1b" not in shown
    assert len(json.loads(manager.ok("status", "--json"))["devices"][0]["services"][0]["why_not"]) <= 2048


def test_the_address_of_a_device_is_where_it_called_from(router, manager):
    def address():
        return json.loads(manager.ok("status", "--json"))["devices"][0]["address"]

    forged = {"X-Forwarded-For": "203.0.113.9"}
    for router.address, expected in (("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")):
        router.request("GET", path(router), headers=forged)
        assert address() == expected
    manager.configure(trusted_proxies=["192.0.2.0/24"])
    router.client = manager.client()
    for router.address, forwarded, expected in (
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # what the proxy wrote, not what came before
        ("192.0.2.1", "198.51.100.7, 192.0.2.2", "198.51.100.7"),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
    ):
        router.request("GET", path(router), headers={"X-Forwarded-For": forwarded})
        assert address() == expected


def test_the_secret_of_a_feed_is_in_no_log(router, manager):
    secret = router.feed.rsplit("/", 1)[1]
    router.get(f"{router.feed}/Packages.gz")
    router.get(f"/feed/home1/{secret}x/none")
    lines = [json.loads(line) for line in manager.log.getvalue().splitlines()]
    assert {"method", "path", "status", "bytes", "ms", "address", "time"} <= set(lines[-1])
    assert lines[-2]["path"] == "/feed/home1/***/Packages.gz"
    assert secret not in manager.log.getvalue().decode()
    assert masked(f"/feed/home1/{secret}") == "/feed/home1/***"
    for start in ("/feed//home1/", "//feed/home1//", "/FEED/home1/", "/feed/home1///"):
        assert secret not in masked(f"{start}{secret}/Packages")


def test_health_metrics_and_what_is_not_there(router):
    router.report()
    assert router.get("/health").json == {"status": "ok"}
    assert router.get("/metrics").json["type"] == "not-found"
    assert router.get("/nothing").json["type"] == "not-found"
    wrong = router.request("DELETE", "/health")
    assert (wrong.status_code, wrong.json["type"]) == (405, "method-not-allowed")
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    wrong = router.get("/health", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert (wrong.status_code, wrong.json["type"]) == (400, "invalid-argument")


def test_metrics_are_for_who_has_the_token(router, manager, monkeypatch):
    manager.configure(metrics_token="a-secret-of-16-or-more")
    router.client = manager.client()
    router.request("GET", path(router))
    router.report()
    for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer a-secret-of-16"}):
        assert router.get("/metrics", headers=wrong).status_code == 404
    token = {"Authorization": "Bearer a-secret-of-16-or-more"}
    lines = router.get("/metrics", headers=token).text.splitlines()
    assert {"isdf_devices 1", "isdf_devices_seen 1", "isdf_failures_total 0"} < set(lines)
    assert 'isdf_orders{state="active"} 1' in lines
    assert 'isdf_requests_total{endpoint="assignment",status="200"} 1' in lines
    assert 'isdf_requests_total{endpoint="metrics",status="404"} 3' in lines
    monkeypatch.setattr(metrics, "_stored", None)  # the tables are long: they are not looked at each time
    assert 'isdf_requests_total{endpoint="metrics",status="200"} 1' in router.get("/metrics", headers=token).text


def test_an_error_of_ours_is_a_problem_without_its_reason(router, manager, monkeypatch):
    monkeypatch.setattr(reports, "parse", lambda *_: 1 / 0)
    answer = router.report()
    assert (answer.status_code, answer.json["type"]) == (500, "failed")
    assert "division" not in answer.text


def test_a_database_that_cannot_be_used_is_not_told_to_everybody(router, manager, caplog, monkeypatch):
    monkeypatch.setattr(storage.Storage, "check", lambda _: None)  # it was good when the process began
    for file in manager.path.glob("manager.db-*"):
        file.unlink()
    (manager.path / "manager.db").write_bytes(b"damaged " * 1000)
    answer = manager.client().get("/health")
    assert (answer.status_code, answer.json["type"]) == (500, "failed")
    assert "manager.db" not in answer.text
    assert "manager.db" in caplog.text
