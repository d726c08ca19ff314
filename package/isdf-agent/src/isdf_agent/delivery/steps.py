"""Waiting without threads: a sequence of steps written as a generator.

`result = yield step` calls `step(done)` and goes on with `result` when `done(result)` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from isdf.protocol import Any

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


class Turns:
    """Sequences that run one after the other.

    When none is left, `idle(changed)` is called, where `changed` is whether one of them returned something true, or
    `news` was set meanwhile; then the `done` of each, which may ask for more.
    """

    def __init__(self, idle: Callable[[bool], None]) -> None:
        self._idle, self.busy, self.news = idle, False, False
        self._waiting: list[tuple[Callable[[], Generator[Step, Any, Any]], Callable[[], None]]] = []
        self._done: list[Callable[[], None]] = []

    def take(self, sequence: Callable[[], Generator[Step, Any, Any]], done: Callable[[], None]) -> None:
        self._waiting.append((sequence, done))
        if not self.busy:
            self._next()

    def _next(self) -> None:
        sequence, done = self._waiting.pop(0)
        self.busy = True

        def ended(changed: Any) -> None:
            self.busy, self.news = False, self.news or bool(changed)
            self._done.append(done)
            if self._waiting:
                self._next()
                return
            news, self.news, dones, self._done = self.news, False, self._done, []
            self._idle(news)
            for each in dones:
                each()

        run(sequence(), ended)
