"""A signed request to whoever says that the clock is wrong."""

import contextlib
import json
import time
from email.utils import formatdate

import pytest

from isdf.errors import UnavailableError
from isdf_agent.delivery.connection import Answer
from isdf_agent.delivery.request import send

DAY = 86400
NOW = 1_800_000_000


class Clockmaker:
    """A connection to somebody who says that it is `date`; `signed` are the times of the requests that he gets."""

    prefix = ""

    def __init__(self, date, proved):
        self.date, self.proved, self.signed = date, proved, []

    def ask(self, method, path, *, body, headers, limit):
        self.signed.append(int(headers["Isdf-Time"]))
        if len(self.signed) > 1:
            return Answer(204, {}, b"")
        return Answer(401, {"date": formatdate(self.date, usegmt=True)}, json.dumps({"type": "clock-skew"}).encode())


@pytest.fixture
def sent(monkeypatch):
    """`sent(here, there, proved)`: the times that are signed for."""

    def ask(here, there, proved=False):
        monkeypatch.setattr(time, "time", lambda: float(here))
        connection = Clockmaker(there, proved)
        with contextlib.suppress(UnavailableError):
            send(connection, bytes(32), "POST", "/device/home1/report", body=b"{}")
        return connection.signed

    return ask


@pytest.mark.parametrize("there", [NOW - 30 * DAY, NOW + 600, NOW + DAY])
def test_a_time_that_is_not_far_ahead_is_signed_for(sent, there):
    assert sent(NOW, there) == [NOW, there]


def test_without_https_nobody_collects_requests_for_a_later_day(sent):
    assert sent(NOW, NOW + DAY + 1) == [NOW]
    assert sent(NOW, NOW + DAY + 1, proved=True) == [NOW, NOW + DAY + 1]


def test_a_clock_that_nobody_has_set_takes_any_time(sent):
    assert sent(1000, NOW) == [1000, NOW]
