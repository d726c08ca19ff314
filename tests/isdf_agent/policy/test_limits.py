"""What a service may, and what the line has left."""

import pytest
from samples import LINE

from isdf.errors import InvalidError, LimitError, LineFullError, NotPermittedError
from isdf.model import Flow


def test_what_is_not_in_may_is_not_permitted(policy):
    with pytest.raises(NotPermittedError, match="deaf may not add_class"):
        policy.add_class("deaf", "sites", 1_000_000)


def test_a_service_has_no_more_than_its_limits(policy):
    policy.add_class("pay", "a", 100_000)
    policy.add_class("pay", "b", 100_000)
    with pytest.raises(LimitError):
        policy.add_class("pay", "c", 100_000)
    policy.add_class("vpn", "a", 3_000_000)
    with pytest.raises(LimitError, match="500 kB/s in sum"):
        policy.add_class("vpn", "b", 2_000_000)
    for port in range(1, 6):
        policy.add_class_member("pay", "a", Flow(remote_port=port))
    with pytest.raises(LimitError):
        policy.add_class_member("pay", "a", Flow(remote_port=9))
    policy.add_class_member("pay", "a", Flow(remote_port=5))


def test_root_at_the_command_line_has_no_limits(policy):
    for name in "abcdefghijklm":
        policy.add_class("local", name, 100_000)


def test_a_rate_beyond_the_line_is_refused_and_the_error_tells_what_is_left(policy, dataplane):
    policy.add_class("gold", "big", "800kBps")
    with pytest.raises(LineFullError) as caught:
        policy.add_class("pay", "sites", "300kBps")
    assert str(caught.value) == (
        "rate 300 kB/s does not fit down: 1000 kB/s line, 150 base, 800 held by classes, 50 kB/s left"
    )
    assert "gold" not in str(caught.value)
    with pytest.raises(LineFullError, match="does not fit up"):
        policy.add_class("pay", "sites", "50kBps", up="51kBps")
    policy.add_class("pay", "sites", "50kBps")
    assert len(dataplane.state.classes) == 2


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast", None, True, "1e9999"])
def test_a_rate_that_is_none_is_invalid(policy, rate):
    with pytest.raises(InvalidError, match="rate"):
        policy.add_class("pay", "sites", rate)


def test_a_ceiling_below_the_rate_is_invalid_and_one_above_the_line_is_the_line(policy):
    with pytest.raises(InvalidError, match="ceil 50 kB/s is less"):
        policy.add_class("pay", "sites", "100kBps", ceil="50kBps")
    assert policy.add_class("pay", "sites", "100kBps", ceil="9MBps")["ceil"] == LINE.down
