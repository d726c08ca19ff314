"""Token buckets in bounded memory, and what counts as one caller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf_manager.limits import Buckets, TooManyError, prefix, take


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_burst_and_then_one_at_a_time(clock):
    buckets = Buckets(3, 2.0, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2.0]
    clock.now += 1.5
    assert buckets.take("a") == 0.5
    clock.now += 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == 2.0
    clock.now += 6.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2.0]


def test_one_key_takes_nothing_from_another(clock):
    buckets = Buckets(1, 1.0, clock=clock)
    assert buckets.take("a") == 0
    assert buckets.take("a") == 1.0
    assert buckets.take("b") == 0


def test_looking_takes_nothing(clock):
    buckets = Buckets(1, 1.0, clock=clock)
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 0]
    buckets.take("a")
    assert buckets.wait("a") == 1.0


def test_memory_is_bounded_and_what_is_new_is_kept(clock):
    buckets = Buckets(1, 1.0, most=100, clock=clock)
    for number in range(10_000):
        buckets.take(number)
    assert len(buckets._new) + len(buckets._old) <= 200
    assert buckets.take(9_999) == 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=60))
def test_it_is_as_a_bucket_that_is_counted(steps):
    """Against a bucket of tokens as everybody would write it."""
    clock, buckets = Clock(), None
    buckets = Buckets(3, 2.0, clock=clock)
    tokens, seen = {}, {}
    for key, pause in steps:
        clock.now += pause
        had = min(3.0, tokens.get(key, 3.0) + (clock.now - seen.get(key, clock.now)) / 2.0)
        seen[key] = clock.now
        wait = buckets.take(key)
        if had < 1 - 1e-6:
            assert wait == pytest.approx((1 - had) * 2.0, abs=1e-5)
        elif had > 1 + 1e-6:
            assert wait == 0
        tokens[key] = had - (wait == 0)


def test_who_is_refused_stays_away_for_some_time(clock):
    buckets = Buckets(1, 1.0, clock=clock)
    take(buckets, "a")
    with pytest.raises(TooManyError) as refused:
        take(buckets, "a")
    assert refused.value.retry_after == 10.0


@pytest.mark.parametrize(
    ("address", "one"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("", ""), ("x", "x")],
)
def test_a_customer_has_an_address_or_a_64(address, one):
    assert prefix(address) == one
