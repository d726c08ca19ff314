"""The options of the agent: what it starts with, and so what may be written into its configuration."""

import pytest

from isdf import options
from isdf.errors import InvalidError


def test_an_option_that_is_not_given_has_its_default():
    assert options.parse("pull_interval", "") == 1800
    assert options.parse("mark_mask", "") == 0xFF000000
    assert options.parse("dataplane", "") == "kernel"


def test_numbers_are_read_as_what_they_count():
    assert options.parse("ready_timeout", "2.5") == 2.5
    assert options.parse("push_port", "9010") == 9010
    assert options.parse("mark_mask", "0xff0000") == 0xFF0000


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("pull_interval", "abc", "pull_interval is 'abc'; it takes 10 to 86400"),
        ("pull_interval", "nan", "pull_interval is 'nan'; it takes 10 to 86400"),
        ("pull_interval", "9", "pull_interval is '9'; it takes 10 to 86400"),
        ("ready_timeout", "601", "ready_timeout is '601'; it takes 1 to 600"),
        ("push_port", "9009.5", "push_port is '9009.5'; it takes 1 to 65535"),
        ("push_port", "9_009", "push_port is '9_009'; it takes 1 to 65535"),
        ("push_port", "65536", "push_port is '65536'; it takes 1 to 65535"),
        ("mark_mask", "0", "mark_mask is '0'; it takes a number of 32 bits such as 0xff000000"),
        ("mark_mask", "ff", "mark_mask is 'ff'; it takes a number of 32 bits such as 0xff000000"),
        ("dataplane", "kernal", "dataplane is 'kernal'; it takes 'kernel' or 'memory'"),
    ],
)
def test_what_the_agent_does_not_start_with_is_named(option, text, sentence):
    with pytest.raises(InvalidError) as caught:
        options.parse(option, text)
    assert str(caught.value) == sentence


def test_every_option_is_checked():
    assert set(options.OPTIONS) == {"pull_interval", "ready_timeout", "push_port", "mark_mask", "dataplane"}
    for option in options.OPTIONS:
        options.parse(option, "")
        with pytest.raises(InvalidError, match=f"^{option} is '-1'"):
            options.parse(option, "-1")
