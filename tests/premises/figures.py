"""What the demo measured: its figures, its steps, and whether the figures are as they should be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .figure3 import Step, Story, mean

BASE, RATE = 150, 200  # kB/s
SETTLE = 4.0  # seconds after a change that do not count as steady
# kB/s of both mirrors that the client should see, and the share that either may be away from it. Headers take 4.5 %.
GOALS = {
    "before": ((BASE / 2, BASE / 2), 0.10), "after": ((RATE, BASE), 0.07), "ended": ((BASE / 2, BASE / 2), 0.10),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Played:
    """Moments are on `time.monotonic`, and Unix time where the name ends with `_ms`.

    `enforced_ms` and `over_ms` are those of the first packet in the new class and of the end of the class; None where
    none was seen, because the download broke that was to be in it.
    """

    a: Sequence[tuple[float, int]]  # as `Transfer.samples`
    b: Sequence[tuple[float, int]]
    begun: float
    bought: float
    ended: float
    finished: float
    timeline: dict[str, int]  # the router's, in Unix ms
    pushed_ms: int
    enforced_ms: int | None
    until_ms: float
    over_ms: int | None
    broken: int


def figures(played: Played, seconds: float) -> dict:
    """What figure3.json holds; `seconds` is what all of it took."""

    def both(start: float, end: float) -> dict[str, float]:
        found = {"a_kBps": mean(played.a, start, end), "b_kBps": mean(played.b, start, end)}
        return {key: round(value, 1) for key, value in found.items()}

    def since(moment: int | None, other: float) -> int | None:
        return None if moment is None else round(moment - other)

    error = since(played.over_ms, played.until_ms)
    return {
        "before": both(played.begun + SETTLE, played.bought - 0.5),
        "after": both(played.bought + SETTLE, played.ended - 0.5),
        "ended": both(played.ended + SETTLE, played.finished - 0.5),
        "push_to_pull_ms": since(played.timeline.get("request_sent"), played.pushed_ms),
        "push_to_enforced_ms": since(played.enforced_ms, played.pushed_ms),
        "end_error_ms": None if error is None else abs(error),
        "connections_broken": played.broken,
        "seconds": round(seconds, 1),
    }


def story(played: Played) -> Story:
    """What the figure shows."""
    samples = [[(t - played.begun, n) for t, n in s if t <= played.finished] for s in (played.a, played.b)]
    moments = [moment - played.begun for moment in (played.bought, played.ended, played.finished)]
    return Story(*samples, *moments, BASE, RATE, steps(played.timeline, played.pushed_ms, played.enforced_ms))


def steps(timeline: dict[str, int], pushed: int, enforced: int | None) -> list[Step]:
    """The purchase in close-up, of the router's own times (Unix ms; all hosts share one clock)."""
    told = {
        "push_received": ("router", "gets the push"),
        "request_sent": ("router", "asks for its assignment"),
        "assignment_verified": ("router", "has verified the assignment"),
        "packages_fetched": ("router", "has fetched and checked the package"),
        "installed": ("router", "has installed it"),
        "ready": ("service", "ready, class and member are in the kernel"),
    }
    found = [Step(0, "manager", "pushes to UDP port 9009")]
    found += [Step(timeline[key] - pushed, *words) for key, words in told.items() if key in timeline]
    found += [] if enforced is None else [Step(enforced - pushed, "kernel", "first packet counted")]
    return sorted(found, key=lambda step: step.ms)


def table(figures: dict) -> str:
    """The figures for a terminal."""
    rows = [("kB/s at the client", "mirror A", "mirror B", "should be")]
    for key, ((a, b), _) in GOALS.items():
        rows.append((key, f"{figures[key]['a_kBps']:.1f}", f"{figures[key]['b_kBps']:.1f}", f"{a:g}, {b:g}"))
    lines = [f"  {a:20}{b:>10}{c:>10}   {d}" for a, b, c, d in rows]
    for key in ("push_to_pull_ms", "push_to_enforced_ms", "end_error_ms", "connections_broken", "seconds"):
        lines.append(f"  {key:20}{'-' if figures[key] is None else figures[key]:>10}")
    return "\n".join(lines)


def missed(figures: dict, seconds: float | None) -> str | None:
    """What is not as it should be, in one sentence, None where all is; `seconds`: within which it was to end."""
    faults = []
    for part, (goals, share) in GOALS.items():
        for letter, goal in zip("ab", goals, strict=True):
            if abs((got := figures[part][f"{letter}_kBps"]) - goal) > goal * share:
                faults.append(f"{part}, mirror {letter.upper()} gave {got:g} kB/s and not {goal:g} within {share:.0%}")
    if broken := figures["connections_broken"]:
        faults.append(f"{broken} of 2 connections broke")
    if figures["push_to_enforced_ms"] is None:
        faults.append("no packet was seen in the new class")
    if seconds is not None and figures["seconds"] > seconds:
        faults.append(f"it took {figures['seconds']:g} s and not {seconds:g} at the most")
    return "; ".join(faults) or None
