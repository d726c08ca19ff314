"""What a manager believes of those who call."""

import json
from dataclasses import replace

import pytest

pytestmark = pytest.mark.system
attack = pytest.mark.attack
REPORT, ASSIGNMENT = "/device/home1/report", "/device/home1/assignment"


def reported(isp):
    """The report that home1 sent last, as it came."""
    return isp.relay.asked(f"^{REPORT}$")[-1]


def accepts(isp, home):
    """A report of the home that is fresh and unchanged is written down."""
    before = isp.written("home1")
    home.pull()
    assert isp.written("home1") != before


@attack("report-replayed")
def test_a_report_that_was_sent_before(isp, home):
    accepts(isp, home)
    with isp.refusing("home1", 401, REPORT):
        assert isp.send(reported(isp)).json()["type"] == "unauthorized"
    accepts(isp, home)


@attack("report-replayed-after-a-restart")
def test_a_report_that_was_sent_before_the_manager_was_started_anew(isp, home):
    accepts(isp, home)
    isp.stop()
    isp.serve()
    with isp.refusing("home1", 401, REPORT):
        assert isp.send(reported(isp)).json()["type"] == "clock-skew"
    accepts(isp, home)


@attack("report-changed")
def test_a_report_that_is_changed_on_its_way(isp, home):
    def forge(exchange):
        request = exchange.request_
        body = json.loads(request.body)
        body["services"][0]["state"] = "failed"
        exchange.request_ = replace(request, body=json.dumps(body).encode().ljust(len(request.body)))
        exchange.pass_on()

    pulls = isp.relay.answering(f"^{ASSIGNMENT}$", lambda exchange: exchange.answer(500))
    with isp.relay.answering(f"^{REPORT}$", forge), pulls, isp.refusing("home1", 401, REPORT):
        home.pull()
    accepts(isp, home)


@attack("report-of-another-device")
def test_a_report_in_the_name_of_the_neighbour(isp, home):
    key = isp.enroll("home5")
    body = reported(isp).body
    with isp.refusing("home1", 401, REPORT):
        assert isp.ask("POST", REPORT, key, body).json()["type"] == "unauthorized"
    before = isp.written("home5")
    assert isp.ask("POST", "/device/home5/report", key, body).status_code == 204
    assert isp.written("home5") != before


@attack("assignment-read-by-a-stranger")
def test_a_question_for_what_the_neighbour_has_bought(isp, home):
    key = isp.enroll("home6")
    with isp.refusing("home1", 401, ASSIGNMENT):
        for other in (None, key, bytes(32)):
            answer = isp.ask("GET", ASSIGNMENT, other)
            assert answer.status_code == 401
            assert b"tv" not in answer.content
    assert b'"tv"' in isp.ask("GET", ASSIGNMENT, isp.device_key("home1")).content


@attack("feed-secret-guessed")
def test_a_guess_at_the_path_of_the_neighbours_feed(isp, home):
    (path,) = {request.path for request in isp.relay.asked("^/feed/home1/.*/Packages$")[-1:]}
    secret = path.split("/")[3]
    with isp.refusing("home1", 404, "/feed/home1/***/Packages"):
        for guess in ("0" * 32, secret[:-1], secret.upper(), "..", "%00"):
            assert isp.ask("GET", f"/feed/home1/{guess}/Packages").status_code in (400, 404)
    assert isp.ask("GET", f"/feed/home1/{secret}/Packages").status_code == 200
    assert secret not in isp.log()
    assert secret not in home.log()
