"""The edge's book-keeping: base and orders of a home add up, and an order may come twice."""

import pytest

from isdf.errors import ConflictError, InvalidError, NotFoundError
from premises.edge import Edge


@pytest.fixture
def edge():
    made = Edge(lambda lines: told.extend(lines))
    told: list[str] = []
    made.told = told
    made.line("home1", 1_200_000, 600_000)
    return made


def test_the_buckets_have_two_percent_more_than_what_is_sold(edge):
    assert [line.split()[3] for line in edge.told] == ["home1", "up-home1"]
    assert "rate 1224000bit" in edge.told[0]
    assert "rate 612000bit" in edge.told[1]


def test_an_order_adds_to_the_base_and_its_end_takes_it_away(edge):
    edge.provision("home1", "o1", {"sites": ["a.example"], "rate": "200kBps"})
    assert edge.sold("home1") == (2_800_000, 2_200_000)
    edge.provision("home1", "o2", {"rate": "100kBps", "up": "10kBps"})
    assert edge.sold("home1") == (3_600_000, 2_280_000)
    edge.withdraw("home1", "o1")
    edge.withdraw("home1", "o2")
    assert edge.sold("home1") == (1_200_000, 600_000)


def test_an_order_that_comes_again_replaces_itself(edge):
    edge.provision("home1", "o1", {"rate": "200kBps"})
    edge.provision("home1", "o1", {"rate": "50kBps"})
    assert edge.sold("home1") == (1_600_000, 1_000_000)


def test_an_order_that_comes_after_its_end_has_been_late(edge):
    for order in ("o1", "o2"):
        if order == "o1":
            edge.provision("home1", order, {"rate": "200kBps"})
        edge.withdraw("home1", order)
        with pytest.raises(ConflictError, match="was withdrawn"):
            edge.provision("home1", order, {"rate": "200kBps"})
    assert edge.sold("home1") == (1_200_000, 600_000)


def test_the_end_of_an_order_that_is_not_there_changes_nothing(edge):
    edge.told.clear()
    edge.withdraw("home1", "o1")
    assert edge.told == []


def test_an_unknown_home_and_a_bad_rate_are_refused(edge):
    with pytest.raises(NotFoundError, match="home7"):
        edge.provision("home7", "o1", {"rate": "200kBps"})
    with pytest.raises(InvalidError):
        edge.provision("home1", "o1", {"rate": "fast"})
    assert edge.sold("home1") == (1_200_000, 600_000)
