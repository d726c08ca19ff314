"""Sequences of steps: results, failures, several at once, and one that never ends."""

import pytest

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


class Turns:
    """Sequences that end when they are told to; `log` is what happened."""

    def __init__(self):
        self.log, self.waiting = [], []
        self.turns = steps.Turns(lambda changed: self.log.append(("idle", changed)))

    def take(self, name, done=lambda: None):
        def sequence():
            self.log.append(name)
            return (yield self.waiting.append)

        self.turns.take(sequence, lambda: (self.log.append(("done", name)), done()))

    def end(self, changed=False):
        self.waiting.pop()(changed)


def test_sequences_take_turns_and_when_none_is_left_all_are_done():
    turns = Turns()
    turns.take("a")
    turns.take("b")
    assert turns.log == ["a"]
    turns.end(True)
    turns.end(False)
    assert turns.log == ["a", "b", ("idle", True), ("done", "a"), ("done", "b")]
    assert not turns.turns.busy


def test_news_count_as_a_change_and_only_once():
    turns = Turns()
    for news in (True, False):
        turns.take("a")
        turns.turns.news = news
        turns.end()
    assert [entry for entry in turns.log if entry[0] == "idle"] == [("idle", True), ("idle", False)]


def test_who_is_done_may_ask_for_more():
    turns = Turns()
    turns.take("a", lambda: turns.take("b"))
    turns.end()
    turns.end()
    assert turns.log == ["a", ("idle", False), ("done", "a"), "b", ("idle", False), ("done", "b")]
