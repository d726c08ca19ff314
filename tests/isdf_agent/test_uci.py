"""UCI files: faults are sentences, options have kinds. (What a file says is tried beside uci, in tests/openwrt.)"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import InvalidError
from isdf_agent.uci import Section, parse_uci

FAULTS = {
    "config": "line 1 has too few words for 'config'",
    "config\n": "line 1 is not 'config', 'option' or 'list' of a UCI file: 'config'",
    "'config' a\n": "line 1 is not",
    "config a\nnonsense b c\n": "line 2 is not 'config', 'option' or 'list' of a UCI file: 'nonsense'",
    "config a\noption k b c\n": "line 2 has too many words for 'option'",
    "config a\noption ''\n": "line 2 has too few words",
    "config a\noption k 'b';\n": "line 2 is not",
    "config a\noption a-b c\n": "line 2 has the name 'a-b'; a name is made of letters, digits and _",
    "config a n-1\n": "line 1 has the name 'n-1'",
    "config 'a b'\n": "line 1 has the type 'a b'; a type is made of letters without a blank",
    "config a n\nconfig b n\n": "line 2 gives section 'n' another type",
    "option k b\n": "line 1 has the option 'k' before the first section",
    "config a\noption k 'b\n\n": "line 2 opens a quote that nothing closes",
    "package 'a b'\n": "line 1 has the name 'a b'",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_named_with_its_line(text):
    with pytest.raises(InvalidError, match="^" + FAULTS[text]):
        parse_uci(text)


@given(st.text(alphabet=st.sampled_from(list("config option list 'a\" \n\t#\\;"))))
def test_any_text_is_answered_with_sections_or_the_parsers_own_error(text):
    try:
        parse_uci(text)
    except InvalidError:
        pass


def test_an_option_is_asked_for_as_text_words_or_truth():
    section = Section("a", None, {"k": "b c", "l": ["d", "e f"], "on": "enabled", "off": "0"})
    assert (section.text("k"), section.text("l"), section.text("none", "x")) == ("b c", "e f", "x")
    assert (section.texts("k"), section.texts("l"), section.texts("none")) == (["b", "c"], ["d", "e f"], [])
    assert (section.flag("on"), section.flag("off"), section.flag("none")) == (True, False, False)
