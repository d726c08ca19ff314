"""Claims settled: each pair of ports has the class of the first claim that covers it, in few pieces, in little time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isdf.errors import LimitError
from isdf_agent.policy.claims import MAX_PIECES, Claim, settle

TOP = 12
ranges = st.tuples(st.integers(1, TOP), st.integers(1, TOP)).map(lambda pair: (min(pair), max(pair)))


def claims_of(local, remote):
    claim = st.tuples(local, remote, st.integers(2, 4))
    return st.lists(claim, min_size=1, max_size=8).map(
        lambda found: [Claim(*words, lease=str(n)) for n, words in enumerate(found)]
    )


def covers(ports, port):
    return ports is None or ports[0] <= port <= ports[1]


@settings(deadline=None)
@given(st.one_of(claims_of(ranges, ranges), claims_of(st.none(), ranges), claims_of(ranges, st.none())))
def test_each_pair_of_ports_has_the_class_of_the_first_claim_that_covers_it(claims):
    pieces, reached = settle(claims)
    meant = set()
    for local in range(1, TOP + 1):
        for remote in range(1, TOP + 1):
            covering = [c for c in claims if covers(c.local_port, local) and covers(c.remote_port, remote)]
            found = [n for (low, high), n in pieces.items() if covers(low, local) and covers(high, remote)]
            assert found == [c.number for c in covering[:1]]
            meant |= {c.lease for c in covering if c.number == covering[0].number}
    assert reached == meant


def test_neighbours_of_one_class_are_one_piece():
    claims = [Claim((1, 9), (50, 60), 2, "a"), Claim((1, 9), (1, 100), 2, "b"), Claim((10, 20), (1, 100), 2, "c")]
    assert settle(claims) == ({((1, 20), (1, 100)): 2}, {"a", "b", "c"})


def test_claims_without_ports_are_the_first_ones():
    claims = [Claim(None, None, 2, "a"), Claim(None, None, 3, "b"), Claim(None, None, 2, "c")]
    assert settle(claims) == ({(None, None): 2}, {"a", "c"})


def test_a_hundred_overlapping_rectangles_are_settled():
    chance = random.Random(1)

    def some():
        low = chance.randrange(1, 60000)
        return low, low + chance.randrange(5000)

    pieces, reached = settle([Claim(some(), some(), 2 + n % 5, str(n)) for n in range(100)])
    assert len(pieces) < 1000
    assert len(reached) == 100


def test_what_would_be_too_many_pieces_is_refused():
    nested = [Claim((n, 1000 - n), (n, 1000 - n), 2 + n % 2, str(n)) for n in range(300, 0, -1)]
    with pytest.raises(LimitError, match="300 flows with overlapping ranges"):
        settle(nested)
    assert len(settle(nested[-20:])[0]) <= MAX_PIECES
