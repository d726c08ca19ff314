"""Waiting without threads: a sequence of steps written as a generator.

`result = yield step` calls `step(done)` and goes on with `result` when `done(result)` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from isdf.loop import Loop

Step = Callable[[Callable[[Any], None]], None]


def run(sequence: Generator[Step, Any, Any], done: Callable[[Any], None]) -> None:
    """Run `sequence`, and call `done` with what it returns.

    A step that cannot even begin raises inside the sequence, at its `yield`. What the sequence itself does not catch is
    raised to whoever ended the last step.
    """

    def go_on(value: Any, error: Exception | None = None) -> None:
        try:
            step = sequence.throw(error) if error else sequence.send(value)
        except StopIteration as end:
            done(end.value)
            return
        over = False

        def ended(result: Any) -> None:
            nonlocal over
            over = True
            go_on(result)

        try:
            step(ended)
        except Exception as failure:
            if over:
                raise  # of what came after the step
            go_on(None, failure)

    go_on(None)


def bounded(loop: Loop, seconds: float, step: Step, late: Any) -> Step:
    """`step`, with `late` as its result when it has none after `seconds`. A second result is ignored."""

    def start(done: Callable[[Any], None]) -> None:
        def ended(result: Any) -> None:
            if timer.active:
                timer.cancel()
                done(result)

        timer = loop.after(seconds, lambda: done(late))
        step(ended)

    return start


def together(steps: dict[str, Step]) -> Step:
    """One step of several that run at the same time; its result is the dictionary of theirs."""

    def start(done: Callable[[dict], None]) -> None:
        results: dict[str, Any] = {}
        if not steps:
            done(results)

        def ended(key: str, result: Any) -> None:
            results[key] = result
            if len(results) == len(steps):
                done(results)

        for key, step in steps.items():
            step(lambda result, key=key: ended(key, result))

    return start
