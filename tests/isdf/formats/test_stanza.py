"""Stanzas: what is written is read again, and what opkg would misread is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError
from isdf.formats import stanza

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
values = st.lists(words, max_size=4).map(" ".join)
fields = st.dictionaries(st.sampled_from(["Package", "Version", "Section", "Require-User"]), values).flatmap(
    lambda known: st.lists(values, min_size=1, max_size=4).map(lambda lines: {**known, "Description": "\n".join(lines)})
)


@given(st.lists(fields, max_size=4))
def test_what_is_written_is_read_again(stanzas):
    assert stanza.parse(b"\n".join(map(stanza.dump, stanzas))) == stanzas


@given(st.binary(max_size=300) | st.text("aA: \n,-\t", max_size=60).map(str.encode))
def test_any_bytes_are_stanzas_or_a_format_error(data):
    try:
        read = stanza.parse(data)
    except FormatError:
        return
    assert [stanza.parse(stanza.dump(fields)) for fields in read] == [[fields] for fields in read]


@pytest.mark.parametrize(
    "text",
    [
        "Package: a\nPackage: b\n",
        "Package: a\npackage: b\n",
        "Package a\n",
        ": a\n",
        "Package: a",
        " a\n",
        "Package: a\n b\n",
        "Depends: a,\n b\n",
        "Depends:\n",
        "Depends: \n",
        "Depends: a, \n",
        "Depends: a,\n",
        "Depends: a \n",
        "Package: a\r\n",
        "Package: a\tb\n",
        "Package: \x1b[31m\n",
        "Pack age: a\n",
    ],
)
def test_what_opkg_reads_otherwise_or_crashes_on_is_refused(text):
    with pytest.raises(FormatError):
        stanza.parse(text.encode())


@pytest.mark.parametrize(
    "fields",
    [{"A b": ""}, {"A": "a\nb"}, {"A": " a"}, {"A": "a "}, {"A": "1", "a": "2"}, {"Depends": "a,"}, {"Depends": ""}],
)
def test_what_has_no_such_form_is_not_written(fields):
    with pytest.raises(InvalidError):
        stanza.dump(fields)


def test_the_size_is_bounded():
    with pytest.raises(FormatError, match="100 are allowed"):
        stanza.parse(b"A: b\n" * 30, max_size=100)


def test_opkgs_status_file_is_read():
    text = b"""Package: isdf-service-x
Version: 1.0.0
Depends: isdf-agent
Status: install user installed
Architecture: all
Conffiles:
 /etc/config/x 0123
Installed-Time: 1790000000

"""
    [fields] = stanza.parse(text)
    assert fields["Status"].split() == ["install", "user", "installed"]
    assert fields["Conffiles"] == "\n/etc/config/x 0123"
