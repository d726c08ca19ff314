"""Sequences of steps: results, failures, several at once, and one that never ends."""

import pytest
from fakes import FakeLoop

from isdf_agent.delivery import steps


def result_of(sequence):
    results = []
    steps.run(sequence, results.append)
    return results


def test_a_sequence_goes_on_with_the_result_of_each_step():
    def sequence():
        first = yield lambda done: done(1)
        second = yield lambda done: done(first + 1)
        return second + 1

    assert result_of(sequence()) == [3]


def test_a_step_may_end_later():
    waiting = []

    def sequence():
        return (yield waiting.append)

    results = result_of(sequence())
    assert results == []
    waiting[0]("late")
    assert results == ["late"]


def test_a_step_that_cannot_begin_raises_in_the_sequence():
    def broken(done):
        raise OSError("no such program")

    def sequence():
        try:
            yield broken
        except OSError as error:
            return str(error)

    assert result_of(sequence()) == ["no such program"]


def test_an_error_after_the_last_step_is_not_taken_for_one_of_the_step():
    def sequence():
        yield lambda done: done(1)
        raise KeyError("of the sequence")

    with pytest.raises(KeyError, match="of the sequence"):
        result_of(sequence())


def test_steps_together_end_when_the_last_one_does():
    waiting = {}
    step = steps.together({name: lambda done, name=name: waiting.update({name: done}) for name in "ab"})
    results = []
    step(results.append)
    waiting["b"](2)
    assert results == []
    waiting["a"](1)
    assert results == [{"a": 1, "b": 2}]
    steps.together({})(results.append)
    assert results[1] == {}


def test_a_bounded_step_has_one_result():
    loop, results, waiting = FakeLoop(), [], []
    steps.bounded(loop, 10, waiting.append, "too late")(results.append)
    loop.advance(10)
    waiting[0]("after all")
    steps.bounded(loop, 10, waiting.append, "too late")(results.append)
    waiting[1]("in time")
    waiting[1]("twice")
    loop.advance(10)
    assert results == ["too late", "in time"]
