"""`make demo`: the pay-per-site story on real parts, with its figure. `--full` plays the paper's 400 seconds."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import IsdfError

from .download import Download
from .figure3 import Step, Story, draw, mean
from .host import wait_until
from .premises import FILE, Premises

BASE, RATE = 150, 200  # kB/s
SETTLE = 4.0  # seconds after a change that do not count as steady


@dataclass(frozen=True)
class Times:
    """Seconds of each part."""

    before: float
    passes: float
    after: float


SHORT, FULL = Times(26, 40, 24), Times(200, 150, 50)


class Teller:
    """Says what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.start:6.1f} s  {text}", flush=True)

    def more(self, text: str) -> None:
        print(f"          {text}", flush=True)


def speeds(a: Download, b: Download, window: float = 2.0) -> str:
    """What the customer would see now."""
    now = time.monotonic()
    first, second = mean(a.samples, now - window, now), mean(b.samples, now - window, now)
    return f"mirror A {first:4.0f} kB/s   mirror B {second:4.0f} kB/s"


def watch(teller: Teller, seconds: float, a: Download, b: Download) -> None:
    """Let time pass and tell the speeds now and then."""
    end, period = time.monotonic() + seconds, max(6.0, seconds / 5)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(period, left))
        if left >= period:
            teller.say(speeds(a, b))
        for name, download in (("A", a), ("B", b)):
            if download.broken:
                raise RuntimeError(f"the download from mirror {name} broke off")


def buy(net: Premises, teller: Teller, seconds: float) -> tuple[int, float]:
    """The operator's command, told as it goes. Unix ms of the push, and the Unix time at which the pass ends."""
    words = ["subscribe", "home1", "pay-per-site", "--config", "sites=mirror-a.example", f"rate={RATE}kBps"]
    words += ["--for", f"{seconds:g}s"]
    teller.say("the operator types: isdf-manager " + " ".join(words))
    pushed = None
    with net.operate(words, stdout=subprocess.PIPE, text=True) as command:
        for line in command.stdout:
            if line.startswith("pushed") and pushed is None:
                pushed = time.time_ns() // 1_000_000
            teller.more("> " + line.rstrip())
    if command.returncode or pushed is None:
        raise RuntimeError(f"the operator's command failed with status {command.returncode}")
    device = json.loads(net.operator(["status", "home1", "--json"]).stdout)["devices"][0]
    return pushed, device["services"][0]["until"]


def play(times: Times, folder: Path) -> dict:
    """The story; returns what figure3.json holds."""
    teller = Teller()
    teller.say("building two homes, the ISP and the Internet: network namespaces, a real kernel, real traffic")
    with Premises(homes=2) as net:
        teller.say("the ISP starts its services manager, publishes feed/pay-per-site and knows two homes")
        net.start_manager()
        teller.more("> " + net.operator(["publish", str(net.feed / "pay-per-site")]).stdout.strip())
        for home in net.homes:
            net.add_device(home)
            home.router.start_agent()
        router = net.home(1).router
        wait_until(lambda: net.is_known(net.home(1)), 20, "the first pull of home 1")
        device = router.ubus("call", "isdf", "status")
        teller.more(f"> home 1 enrolled with its claim code: it is {device['device']} at {device['manager']}")
        teller.say(f"home 1 downloads from two mirrors; its line carries 1000 kB/s, and {BASE} of them are sold")
        a = Download(net.home(1).client(1), f"http://mirror-a.example/{FILE}")
        b = Download(net.home(1).client(2), f"http://mirror-b.example/{FILE}")
        begun = time.monotonic()
        watch(teller, times.before, a, b)

        teller.say(f"the customer wants mirror A faster, and buys {RATE} kB/s for it")
        watcher = router.popen(router.python("premises.first_packet"), stdout=subprocess.PIPE, text=True)
        pushed, until = buy(net, teller, times.passes)
        enforced = int(watcher.stdout.readline().split()[1])
        timeline = json.loads(router.run(["ubus", "call", "isdf", "status"]).stdout)["delivery"]["timeline"]
        pushed = min(pushed, timeline["push_received"])  # the command's line may be read late
        bought = pushed / 1000 - time.time() + time.monotonic()
        teller.say(
            f"{enforced - pushed} ms after the push the first packet is in the new class; nobody visited the house"
        )
        watch(teller, until - time.time() - 0.5, a, b)

        over = int(watcher.stdout.readline().split()[1])
        ended = until - time.time() + time.monotonic()
        teller.say(f"the pass has ended by itself, {abs(over - until * 1000):.0f} ms from the moment it was to end")
        watch(teller, times.after, a, b)
        broken = a.broken + b.broken
        finished = time.monotonic()
        a.stop()
        b.stop()

    def both(start: float, end: float) -> dict[str, float]:
        return {"a_kBps": round(mean(a.samples, start, end), 1), "b_kBps": round(mean(b.samples, start, end), 1)}

    story = Story(
        [(t - begun, n) for t, n in a.samples if t <= finished],
        [(t - begun, n) for t, n in b.samples if t <= finished],
        bought - begun, ended - begun, BASE, RATE, steps(timeline, pushed, enforced),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    teller.say("drawing the figure")
    draw(story, folder)
    figures = {
        "before": both(begun + SETTLE, bought - 0.5),
        "after": both(bought + SETTLE, ended - 0.5),
        "ended": both(ended + SETTLE, finished - 0.5),
        "push_to_pull_ms": timeline["request_sent"] - pushed,
        "push_to_enforced_ms": enforced - pushed,
        "end_error_ms": abs(round(over - until * 1000)),
        "connections_broken": broken,
        "seconds": round(time.monotonic() - teller.start, 1),
    }
    (folder / "figure3.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def steps(timeline: dict[str, int], pushed: int, enforced: int) -> list[Step]:
    """The purchase in close-up, of the router's own times (Unix ms; all hosts share one clock)."""
    told = {
        "push_received": ("router", "gets the push"),
        "request_sent": ("router", "asks for its assignment"),
        "assignment_verified": ("router", "has verified the assignment"),
        "packages_fetched": ("router", "has fetched and checked the package"),
        "installed": ("router", "has installed it"),
        "ready": ("service", "ready, class and member are in the kernel"),
    }
    found = [Step(timeline[key] - pushed, *words) for key, words in told.items() if key in timeline]
    both = [
        Step(0, "manager", "pushes to UDP port 9009"),
        *found,
        Step(enforced - pushed, "kernel", "first packet counted"),
    ]
    return sorted(both, key=lambda step: step.ms)


def table(figures: dict) -> str:
    """The figures for a terminal."""
    rows = [("kB/s at the client", "mirror A", "mirror B", "should be")]
    goals = {"before": "75, 75", "after": f"{RATE}, {BASE}", "ended": "75, 75"}
    for key, goal in goals.items():
        rows.append((key, f"{figures[key]['a_kBps']:.1f}", f"{figures[key]['b_kBps']:.1f}", goal))
    lines = [f"  {a:20}{b:>10}{c:>10}   {d}" for a, b, c, d in rows]
    for key in ("push_to_pull_ms", "push_to_enforced_ms", "end_error_ms", "connections_broken", "seconds"):
        lines.append(f"  {key:20}{figures[key]:>10}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the paper's 400 seconds")
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    args = parser.parse_args(argv)
    try:
        figures = play(FULL if args.full else SHORT, args.output)
    except (IsdfError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        return 1
    print(f"\n{table(figures)}\n")
    print(f"The figure is {args.output}/figure3.png (and .svg), the numbers are {args.output}/figure3.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
