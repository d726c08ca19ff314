"""Ends of members, by a clock that nobody sets."""

import pytest
from samples import WEB, policy_of

from isdf.model import Flow


def test_a_member_with_a_duration_ends_by_the_clock(policy, dataplane, clock):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", WEB, duration=60)
    assert policy.tick() == 60
    clock.pass_by(59)
    assert policy.tick() == 1
    assert dataplane.state.members
    policy.add_class_member("pay", "c", WEB, duration=60)
    clock.pass_by(59)
    assert policy.tick() == 1
    clock.pass_by(1)
    assert policy.tick() is None
    assert not dataplane.state.members


@pytest.mark.parametrize("jump", [-1_700_000_000, -3600, 3600, 400_000_000])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_anything(policy, dataplane, clock, ledger, jump):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", WEB, duration=60)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    policy.learn("tv.example", "192.0.2.9", 60)
    policy.learn("tv.example", "192.0.2.8", 4000)
    clock.wall += jump
    assert policy.tick() == 60
    assert len(dataplane.state.members) == 3
    again = policy_of(dataplane, ledger, clock)
    again.restore()
    clock.pass_by(59)
    again.tick()
    assert len(dataplane.state.members) == 3
    clock.pass_by(1)
    again.tick()
    assert {m.remote for m in dataplane.state.members} == {"192.0.2.8", "192.0.2.9"}
    clock.pass_by(1800)
    again.tick()
    assert {m.remote for m in dataplane.state.members} == {"192.0.2.8"}


def test_people_are_told_the_unix_time_of_an_end(policy, clock):
    policy.add_class("pay", "c", 1_000_000)
    lease = policy.add_class_member("pay", "c", WEB, duration=60)
    assert (lease.since, lease.until) == (clock.wall, clock.wall + 60)
    clock.wall -= 1000
    (member,) = policy.list("pay")["classes"][0]["members"]
    assert member["until"] == clock.wall + 60
