"""What the figures of build/bench should be, and whether they are: `python -m bench.goals` prints the table.

It runs when all has been measured, so that a figure which misses its goal costs no other. Exit status 0 when all are
there and meet their goals.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from premises.figures import GOALS as SHARES

FOLDER = Path("build/bench")


@dataclass(frozen=True)
class Goal:
    """A figure, or each of a list of them, is to be from `least` to `most`."""

    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.most is not None:
            return f"at most {self.most:g}"
        return "" if self.least is None else f"at least {self.least:g}"

    def met(self, figure: float | list[float]) -> bool:
        found = figure if isinstance(figure, list) else [figure]
        low, high = float("-inf") if self.least is None else self.least, self.most
        return all(low <= value and (high is None or value <= high) for value in found)


NONE = Goal()
# By the file: delivery.json holds these figures and no other.
GOALS = {
    "delivery": {
        "push_to_enforced_ms_p50": NONE,
        "push_to_enforced_ms_p95": Goal(most=1000),
        "push_to_enforced_ms_p99": Goal(most=2000),
        "push_to_enforced_loss5_ms_p95": Goal(most=1500),
        "pull_304_per_s": Goal(least=1000),
        "pull_forged_per_s": Goal(least=3000),
        "pull_ms_unchanged": NONE,
        "pull_ms_install": NONE,
        "ubus_calls_per_s": Goal(least=4000),
        "agent_anon_idle_mb": Goal(most=5),
        "service_anon_mb": Goal(most=3.5),
        "agent_pss_mb": Goal(most=20),
        "agent_cpu_idle_pct": Goal(most=0.1),
        "homes_100_all_enforced_s": Goal(most=5),
        "flash_kb_per_day_idle": Goal(most=100),
    },
    "router": {"agent_anon_loaded_mb": Goal(most=8)},
    "wear": {"writes_per_day_idle": Goal(most=24)},
    "shares": {
        f"{part}_{letter}_kBps": Goal(least=round(goal * (1 - share), 1), most=round(goal * (1 + share), 1))
        for part, (both, share) in SHARES.items()
        for letter, goal in zip("ab", both, strict=True)
    },
}


def table(figures: Mapping[str, Mapping[str, object]]) -> tuple[list[str], bool]:
    """A line for each figure that should be there, by the file's name; whether all are, and meet their goals."""
    rows, good = [("figure", "measured", "goal", "met?")], True
    for file, goals in GOALS.items():
        for name, goal in goals.items():
            found = figures.get(file, {}).get(name)
            met = found is not None and goal.met(found)
            good &= met
            shown = "missing" if found is None else _shown(found)
            rows.append((name, shown, str(goal), "NO" if not met else "yes" if str(goal) else ""))
    return [f"{a:32}{b:>16}   {c:18}{d}".rstrip() for a, b, c, d in rows], good


def _shown(figure: object) -> str:
    return " to ".join(f"{value:g}" for value in (figure if isinstance(figure, list) else [figure]))


def main() -> int:
    found = {name: json.loads(file.read_text()) for name in GOALS if (file := FOLDER / f"{name}.json").exists()}
    lines, good = table(found)
    print("", *lines, "", sep="\n")
    if not good:
        print("Some figures are missing or miss their goals: NO, above.", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
