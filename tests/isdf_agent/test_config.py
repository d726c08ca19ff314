"""UCI files as OpenWrt writes them and as people edit them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import InvalidError
from isdf_agent.config import load, parse_uci

GOOD = """
config agent 'agent'
	option manager 'http://[2001:db8:1::2]:8080/'
	option device 'home1'
	option device_key '{key}'
	option feed_secret 'c0ffee'
	option catalogue_key 'RWQa'
	option assignment_key 'RWQb'
	option insecure '1'

config line 'line'
	option wan 'wan'
	list lan 'br-lan'
	list lan 'br-guest'
	option down '8000'
	option up '8000'
	option base_down '1200'
	option base_up '1200'
""".format(key="ab" * 32)


def write(tmp_path, text):
    path = tmp_path / "isdf"
    path.write_text(text)
    return path


def test_a_complete_file_is_read_with_its_defaults(tmp_path):
    config = load(write(tmp_path, GOOD))
    assert config.manager == "http://[2001:db8:1::2]:8080"
    assert config.lan == ("br-lan", "br-guest")
    assert (config.line.down, config.line.base_up) == (8_000_000, 1_200_000)
    assert (config.pull_interval, config.ready_timeout, config.push_port) == (1800, 30, 9009)
    assert config.dataplane == "kernel"
    assert config.mark_mask == 0xFF000000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("option device 'home1'", ""), "option device of section agent is missing"),
        (("option insecure '1'", ""), "only with option insecure"),
        (("option down '8000'", "option down 'nan'"), "rate"),
        (("option base_down '1200'", "option base_down '9000'"), "more than the line can carry"),
        (("abab", "xyz"), "not hexadecimal"),
        (("config line 'line'", "config lane 'line'"), "section 'line' is missing"),
        (("option wan 'wan'", "option wan wan eth"), "line 12"),
        (("option wan 'wan'", "option push_port '70000'\n\toption wan 'wan"), "opens a quote"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, sentence):
    with pytest.raises(InvalidError) as caught:
        load(write(tmp_path, GOOD.replace(*change)))
    assert sentence in str(caught.value)


def test_quotes_comments_and_repeated_options_are_as_uci_has_them():
    text = (
        "package x\nconfig a # a comment\n\toption k \"it's\"\n\toption two 'lines\nlong'\n\tlist l 1\n\tlist l '2 3'\n"
    )
    (section,) = parse_uci(text)
    assert section.name is None
    assert section.options == {"k": "it's", "two": "lines\nlong", "l": ["1", "2 3"]}


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(InvalidError, match="cannot be read"):
        load(tmp_path / "none")


@given(st.text(alphabet=st.sampled_from(list("config option list 'a\" \n\t#\\"))))
def test_the_parser_answers_any_text_with_sections_or_its_own_error(text):
    try:
        parse_uci(text)
    except InvalidError:
        pass
