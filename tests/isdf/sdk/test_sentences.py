"""What a service that fails says of itself."""

import pytest

from isdf.errors import LimitError
from isdf.sdk.service import load, sentence_of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\nnothing", "NameError: name 'nothing' is not defined (service.py, line 2)"),
        ("def f():\n    raise ValueError('no')\nf()", "ValueError: no (service.py, line 2)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 (service.py, line 2)"),
        ("def (", "SyntaxError: invalid syntax (service.py, line 1)"),
    ],
)
def test_a_fault_in_service_py_is_told_with_its_place(tmp_path, text, sentence):
    (tmp_path / "service.py").write_text(text)
    with pytest.raises((Exception, SystemExit)) as caught:
        load(str(tmp_path))
    assert sentence_of(caught.value) == sentence


def test_a_refusal_of_the_agent_is_told_in_its_own_words():
    sentence = "service tv may have 1 class at a time; remove one first"
    assert sentence_of(LimitError(sentence)) == sentence
