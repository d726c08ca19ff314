"""UCI files are read as OpenWrt writes them."""

import pytest

from premises import uci


def test_options_lists_comments_and_anonymous_sections():
    text = (
        "# comment\nconfig rule 'push'\n\toption name 'Allow it'\n\tlist src_ip 'a'\n\tlist src_ip 'b'\nconfig zone\n"
    )
    first, second = uci.parse(text)
    assert (first.kind, first.name, first.get("name")) == ("rule", "push", "Allow it")
    assert first.words("src_ip") == ["a", "b"]
    assert first.get("src_ip") == "a b"
    assert (second.kind, second.name, second.words("network")) == ("zone", None, [])
    assert not second.on("masq")


@pytest.mark.parametrize("line", ["option a b", "config a b c", "config", "list a"])
def test_a_line_that_is_none_is_named(line):
    with pytest.raises(ValueError, match=f"line 1.*{line}"):
        uci.parse(line)
