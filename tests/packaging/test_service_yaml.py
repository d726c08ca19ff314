"""package/service_yaml.py reads service.yaml as every reader of YAML does, and refuses what could be read otherwise."""

import importlib.util

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import ROOT

_spec = importlib.util.spec_from_file_location("service_yaml", ROOT / "package/service_yaml.py")
reader = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reader)

texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner),
    max_leaves=8,
)
tables = st.dictionaries(st.from_regex(r"k[a-z]{1,6}", fullmatch=True), values, min_size=1, max_size=5)


@pytest.mark.parametrize("path", sorted((ROOT / "feed").glob("*/service.yaml")), ids=lambda p: p.parent.name)
def test_the_feeds_files_mean_the_same_to_both_readers(path):
    assert reader.parse(path.read_text()) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: -2.5\nc: true\nd: null\ne:\nf: 1gbit\n",
        "a: {b: 1, c: [x, 'it''s', \"\\u00e9\\n\"], d: {}, e: []}  # said\n",
        "# first\na:\n  - one\n  - {two: 2}\nb:\n\n  c:\n    d: x  # y\n  e: a#b\n",
        "a: >-\n  one\n  two\n\n  three\n\n\n  four\nb: 1\n",
        "a: >-\n  # no comment: text\nb: http://x\n'c': \"d: e\"\n",
    ],
)
def test_what_it_takes_means_the_same_to_both_readers(text):
    assert reader.parse(text) == yaml.safe_load(text)


@settings(max_examples=40)
@given(tables, st.booleans())
def test_whatever_another_writer_wrote_is_read_alike_or_refused(table, flow):
    text = yaml.safe_dump(table, allow_unicode=True, default_flow_style=flow, width=10**6)
    try:
        read = reader.parse(text)
    except reader.Refused:
        return
    assert read == table


@given(st.text("abn yo01.:-_e+{}[],#'\"~>\n", max_size=20))
def test_any_text_is_read_alike_or_refused(value):
    text = f"a: {value}\n"
    try:
        read = reader.parse(text)
    except reader.Refused:
        return
    assert read == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    ["", "x", "a: no", "a: 010", "a: 1:30", "a: 2026-01-01", "a: 1e3", "a: .5", "a: &x 1", "a: *x", "a: !!str 1",
     "a: |\n  b", "a: x\n  y", "a: [1, 2", "a: {b}", "a: 1\na: 2", "a: 'x", "\ta: 1", "a: b: c", "a: 1\n b: 2", "- 1",
     "a: ~"],
)  # fmt: skip
def test_what_could_be_read_otherwise_is_refused_with_its_line(text):
    with pytest.raises(reader.Refused, match=r"line \d|file is"):
        reader.parse(text)


def test_a_file_that_cannot_be_read_ends_in_a_sentence(tmp_path, capsys):
    (tmp_path / "service.yaml").write_text("a: no\n")
    assert reader.main([str(tmp_path / "service.yaml")]) == 1
    assert capsys.readouterr().err.endswith("line 1: write 'no' in quotes, if it is a text\n")
