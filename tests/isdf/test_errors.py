"""Errors: one sentence each, and the same again after they travelled."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf import errors
from isdf.errors import FailedError, IsdfError, RefusedError

CLASSES = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, IsdfError)]
texts = st.text(min_size=1, max_size=40)


@given(st.sampled_from(CLASSES), texts)
def test_an_error_that_travelled_is_the_same(cls, detail):
    error = errors.from_dict(cls(detail).as_dict())
    assert type(error) is cls
    assert str(error) == error.detail == detail


@given(st.dictionaries(st.sampled_from(["type", "title", "detail"]), st.none() | st.booleans() | texts | st.integers()))
def test_any_table_is_an_error(table):
    assert isinstance(errors.from_dict(table), IsdfError)


def test_an_unknown_slug_keeps_its_words():
    error = errors.from_dict({"type": "from-the-future", "title": "New", "detail": "It happened."})
    assert type(error) is IsdfError
    assert str(error) == "It happened."
    assert str(errors.from_dict({"type": "x", "title": "New"})) == "New"
    assert str(errors.from_dict({})) == "no detail"


def test_slugs_tell_the_classes_apart():
    slugs = [cls.slug for cls in CLASSES]
    assert len(set(slugs)) == len(slugs)
    assert all(slug == slug.lower() and " " not in slug for slug in slugs)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not IsdfError])
def test_each_error_says_whose_turn_it_is(cls):
    assert issubclass(cls, RefusedError) != issubclass(cls, FailedError)
    assert cls.__name__.endswith("Error")
    assert cls.title[0].isupper()
    assert not cls.title.endswith(".")
