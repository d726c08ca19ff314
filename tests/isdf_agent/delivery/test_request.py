"""What answers of the manager mean."""

import time

import pytest

from isdf_agent.delivery.connection import Answer
from isdf_agent.delivery.request import time_of


def test_the_manager_says_what_time_it_is():
    assert time_of(Answer(200, {"date": "Sat, 21 Nov 2026 12:00:00 GMT"}, b"")) == 1_795_262_400


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sat, 21 Nov 2026 12:00:00 +99999999999999"])
def test_without_a_time_that_is_one_it_is_this_routers(date):
    assert time_of(Answer(200, {} if date is None else {"date": date}, b"")) == pytest.approx(time.time(), abs=5)
