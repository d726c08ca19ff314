"""UCI files as OpenWrt writes them and as people edit them."""

from pathlib import Path

import pytest

from isdf.errors import InvalidError
from isdf.model import Line
from isdf_agent.config import line_of, load

GOOD = """
config agent 'agent'
	option manager 'http://[2001:db8:1::2]:8080/'
	option claim 'AAAQ-EAYE-AUDA-OCAJ'
	option insecure '1'

config line 'line'
	option wan 'wan'
	list lan 'br-lan'
	list lan 'br-guest'
	option down '8000'
	option up '8000'
	option base_down '1200'
	option base_up '1200'
"""


def write(tmp_path, text):
    path = tmp_path / "isdf"
    path.write_text(text)
    return path


def test_a_complete_file_is_read_with_its_defaults(tmp_path):
    config = load(write(tmp_path, GOOD))
    assert config.manager == "http://[2001:db8:1::2]:8080"
    assert (config.claim, config.insecure) == ("AAAQ-EAYE-AUDA-OCAJ", True)
    assert config.lan == ("br-lan", "br-guest")
    assert (config.line.down, config.line.base_up) == (8_000_000, 1_200_000)
    assert (config.pull_interval, config.ready_timeout, config.push_port) == (1800, 30, 9009)
    assert config.dataplane == "kernel"
    assert config.mark_mask == 0xFF000000


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("option insecure '1'", ""), "http needs option insecure '1'"),
        (("http://[2001:db8:1::2]:8080/", ""), "option manager of section agent is missing"),
        (("http://[2001:db8:1::2]:8080/", "manager.example"), "is not an address"),
        (("http://[2001:db8:1::2]:8080/", "http://[2001:db8"), "is not an address"),
        (("http://[2001:db8:1::2]:8080/", "https://me:secret@manager.example"), "is not an address"),
        (("http://[2001:db8:1::2]:8080/", "https://manager.example:0"), "is not an address"),
        (("http://[2001:db8:1::2]:8080/", "ftp://manager.example"), "is not an https address"),
        (("option down '8000'", "option down 'nan'"), "option down of section line: rate 'nan'"),
        (("option down '8000'", ""), "option down of section line is missing beside up"),
        (("option base_down '1200'", "option base_down '9000'"), "more than the line can carry"),
        (("config agent 'agent'", "config agents 'agent'"), "section 'agent' is missing"),
        (("config agent 'agent'", "config agent"), "has no name; write \"config agent 'agent'\""),
        (("config line 'line'", "config line 'dsl'"), "has the name 'dsl'; write \"config line 'line'\""),
        (("option insecure", "option mark_mask 'x'\n\toption insecure"), "option mark_mask is 'x'"),
        (("option insecure", "option mark_mask '0'\n\toption insecure"), "option mark_mask is '0'"),
        (("option insecure", "option pull_interval '1'\n\toption insecure"), "it takes 10 to 86400"),
        (("option insecure", "option push_port '9_009'\n\toption insecure"), "option push_port is '9_009'"),
        (("option insecure", "option dataplane 'x'\n\toption insecure"), "it takes 'kernel' or 'memory'"),
        (("option wan 'wan'", "option wan wan eth"), "line 8"),
        (("option wan 'wan'", "option push_port '70000'\n\toption wan 'wan"), "opens a quote"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, sentence):
    with pytest.raises(InvalidError) as caught:
        load(write(tmp_path, GOOD.replace(*change)))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_new_router_has_no_manager_and_a_line_without_rates(tmp_path):
    config = load(write(tmp_path, "config agent 'agent'\n\toption manager ''\n"))
    assert (config.manager, config.claim, config.line) == ("", "", None)
    assert (config.wan, config.lan) == ("wan", ("br-lan",))


def test_the_file_that_the_package_brings_is_one_of_a_new_router():
    config = load(Path(__file__).parents[2] / "package/isdf-agent/files/isdf.config")
    assert (config.manager, config.claim, config.line) == ("", "", None)
    assert (config.wan, config.lan) == ("wan", ("br-lan",))


def test_rates_that_a_manager_told_make_a_line():
    told = {"down": 8000, "up": 7000, "base_down": 1200, "base_up": 1100}
    assert line_of(told) == Line(8_000_000, 7_000_000, 1_200_000, 1_100_000)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(InvalidError, match="cannot be read"):
        load(tmp_path / "none")
