"""The figure of the demo, in the manner of the paper's Figure 3: two downloads, and the purchase in close-up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """What happened in the purchase: milliseconds after the push was sent, who did it, what."""

    ms: float
    who: str
    what: str


@dataclass(frozen=True)
class Story:
    """All that the figure shows. A download is a list of (seconds since the start, bytes so far)."""

    a: Sequence[tuple[float, int]]
    b: Sequence[tuple[float, int]]
    bought: float
    ended: float
    finished: float
    base: float  # kB/s
    rate: float  # kB/s
    steps: Sequence[Step]


def throughput(
    samples: Sequence[tuple[float, int]], moments: Sequence[float], width: float
) -> tuple[list[float], list[float]]:
    """Seconds and kB/s of a download, as means over windows of about `width` seconds.

    No window reaches over one of `moments` (rising): what changes there is not smeared.
    """
    seconds, speeds, index = [], [], 0
    for start, end in itertools.pairwise(moments):
        count = max(1, round((end - start) / width))
        for window in range(count):
            first = index
            edge = start + (window + 1) * (end - start) / count
            while index + 1 < len(samples) and samples[index + 1][0] <= edge:
                index += 1
            seconds.append(edge - (end - start) / count / 2)
            speeds.append((samples[index][1] - samples[first][1]) / ((end - start) / count) / 1000)
    return seconds, speeds


def mean(samples: Sequence[tuple[float, int]], start: float, end: float) -> float:
    """kB/s of a download between two moments."""
    inside = [s for s in samples if start <= s[0] <= end]
    if len(inside) < 2:
        return 0.0
    (t0, b0), (t1, b1) = inside[0], inside[-1]
    return (b1 - b0) / (t1 - t0) / 1000


def draw(story: Story, folder: Path) -> None:
    """Write figure3.svg and figure3.png into `folder`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colour_a, colour_b, ink = "#0b6e99", "#d1670f", "#444444"
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "isdf"})
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    moments = [0, story.bought, story.ended, story.finished]
    for samples, name, colour in ((story.a, "mirror A", colour_a), (story.b, "mirror B", colour_b)):
        seconds, speeds = throughput(samples, moments, max(1.5, moments[-1] / 100))
        axes.plot(seconds, speeds, color=colour, linewidth=1.6)
        axes.annotate(
            name, (seconds[-1], speeds[-1]), (6, 5 if name.endswith("A") else -5), textcoords="offset points",
            color=colour, va="center", fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    top = story.rate * 2.05
    for level, text in ((story.base / 2, "half of the base"), (story.base, "base"), (story.rate, "the site's class")):
        axes.axhline(level, color="#bbbbbb", linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
        axes.annotate(
            f"{text}, {level:g}", (0.004, level), (0, 2), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", color="#777777", fontsize=7.5, va="bottom",
        )  # fmt: skip
    for when, text in ((story.bought, "the customer buys\nthe site of mirror A"), (story.ended, "the pass\nends")):
        axes.axvline(when, ymax=0.62, color=ink, linewidth=0.8, linestyle="--")
        axes.annotate(
            text, (when, story.rate * 1.14), (-4, 0), textcoords="offset points", ha="right", va="bottom", color=ink,
            fontsize=8,
        )  # fmt: skip
    axes.set(xlim=(0, story.finished), ylim=(0, top), xlabel="time (s)", ylabel="throughput at the client (kB/s)")
    axes.spines[["top", "right"]].set_visible(False)
    _close_up(axes.inset_axes([0.33, 0.68, 0.66, 0.32]), story.steps, ink)
    for suffix in ("svg", "png"):
        figure.savefig(folder / f"figure3.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    plt.close(figure)


def _close_up(axes, steps: Sequence[Step], ink: str) -> None:
    """Who did what when, from the push to the first packet in the new class: a row for each step."""
    who = {"operator": "#7a5195", "manager": "#7a5195", "router": "#2f7d4f", "service": "#8a6d00", "kernel": "#b2182b"}
    span = max(step.ms for step in steps) or 1
    for row, step in enumerate(steps):
        colour = who.get(step.who, ink)
        axes.plot([0, step.ms], [row, row], color="#e4e4e4", linewidth=0.8, zorder=0)
        axes.plot(step.ms, row, "o", color=colour, markersize=4)
        axes.annotate(
            f"{step.who}: {step.what}, {step.ms:.0f} ms", (step.ms, row), (6, 0), textcoords="offset points",
            va="center", fontsize=7, color=colour,
        )  # fmt: skip
    axes.set(ylim=(len(steps) - 0.4, -0.6), xlim=(-span * 0.03, span * 2.05), yticks=[])
    axes.set_xticks([t for t in axes.get_xticks() if 0 <= t <= span * 1.05])
    axes.tick_params(labelsize=7, length=2)
    axes.set_xlabel("ms after the push", fontsize=7, labelpad=1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.patch.set_alpha(0.9)
