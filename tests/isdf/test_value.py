"""Values do what those of the standard library's `dataclasses` do, which is the oracle here."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf import value as ours

LIBRARIES = [pytest.param(ours, id="ours"), pytest.param(dataclasses, id="dataclasses")]


def classes(library):
    @library.dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        names: dict = library.field(default_factory=dict)

        def sum(self):
            return self.x + self.y

    @library.dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        name: str
        secret: str = library.field(repr=False)
        at: object = None

        def __post_init__(self):
            if not self.name:
                raise ValueError("no name")

    @library.dataclass(slots=True)
    class Open:
        x: int = 1

    return Point, Named, Open


@pytest.fixture(params=LIBRARIES)
def made(request):
    return request.param, *classes(request.param)


def test_fields_defaults_and_methods(made):
    _, point, named, _ = made
    one = point(1)
    assert (one.x, one.y, one.names, one.sum(), one.__doc__) == (1, 2, {}, 3, "A point.")
    assert point(1).names is not point(1).names
    assert named(secret="s", name="n").at is None
    match one:
        case point(x, y):
            assert (x, y) == (1, 2)


def test_equality_and_hash(made):
    _, point, named, opened = made
    assert point(1, 2) == point(x=1)
    assert point(1) != point(2)
    assert point(1) != (1, 2, {})
    assert len({named(name="n", secret="s"), named(name="n", secret="s")}) == 1
    assert opened(1) == opened()
    with pytest.raises(TypeError):
        hash(opened())


def test_what_is_shown(made):
    _, point, named, _ = made
    assert repr(point(1)).endswith("Point(x=1, y=2, names={})")
    assert repr(named(name="n", secret="s")).endswith("Named(name='n', at=None)")


def test_a_frozen_value_cannot_be_changed(made):
    _, point, _, opened = made
    for change in (lambda: setattr(point(1), "x", 2), lambda: delattr(point(1), "x")):
        with pytest.raises(AttributeError):
            change()
    value = opened()
    value.x = 5
    assert value == opened(5)
    with pytest.raises(AttributeError):
        value.y = 1


@pytest.mark.parametrize("arguments", [((), {}), ((1, 2, {}, 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_wrong_arguments(made, arguments):
    _, point, _, _ = made
    with pytest.raises(TypeError):
        point(*arguments[0], **arguments[1])


def test_what_must_be_named_and_what_is_checked(made):
    _, _, named, _ = made
    with pytest.raises(TypeError):
        named("n", "s")
    with pytest.raises(ValueError, match="no name"):
        named(name="", secret="s")


@given(x=st.integers(), y=st.integers(), names=st.dictionaries(st.text(), st.lists(st.integers())))
def test_copies_and_dictionaries_are_the_oracles(x, y, names):
    results = []
    for library in (ours, dataclasses):
        point, named, _ = classes(library)
        whole = named(name="n", secret="s", at=[point(x, y, names), (point(y),)])
        results.append((library.asdict(whole), library.asdict(library.replace(point(x), y=y, names=names))))
    assert results[0] == results[1]


def test_it_costs_no_heavy_module():
    code = "import sys, isdf.value; print(sorted({'dataclasses', 'inspect', 'typing', 're'} & sys.modules.keys()))"
    argv = [sys.executable, "-ISc", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "[]\n"
