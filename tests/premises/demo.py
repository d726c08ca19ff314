"""`make demo`: the pay-per-site story on real parts, with its figure. `--full` plays the paper's 400 seconds."""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import IsdfError

from .download import Download
from .figure3 import draw, mean
from .figures import BASE, RATE, Played, figures, missed, story, table
from .host import Process, wait_until
from .premises import FILE, Premises

ENFORCED = 10.0  # seconds that the first packet of the new class, and the end of the class, are waited for
SECONDS = 120  # in all, but for the paper's own length


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


def moment(watcher: Process, seconds: float) -> int | None:
    """The Unix ms that `first_packet` tells next; None where it tells nothing for so long."""
    if not select.select([watcher.stdout], [], [], max(0.0, seconds))[0]:
        return None
    line = watcher.stdout.readline()
    return int(line.split()[1]) if line else None


def play(times: Times, teller: Teller) -> Played:
    """The story, on real parts."""
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
        watcher = router.popen(router.python("premises.first_packet"), stdout=subprocess.PIPE, bufsize=0)
        pushed, until = buy(net, teller, times.passes)
        enforced = moment(watcher, ENFORCED)
        timeline = json.loads(router.run(["ubus", "call", "isdf", "status"]).stdout)["delivery"]["timeline"]
        pushed = min(pushed, timeline["push_received"])  # the command's line may be read late
        bought = pushed / 1000 - time.time() + time.monotonic()
        if enforced is not None:
            teller.say(
                f"{enforced - pushed} ms after the push the first packet is in the new class; nobody visited the house"
            )
        watch(teller, until - time.time() - 0.5, a, b)

        over = None if enforced is None else moment(watcher, until + ENFORCED - time.time())
        ended = until - time.time() + time.monotonic()
        if over is not None:
            teller.say(f"the pass has ended by itself, {abs(over - until * 1000):.0f} ms from the moment it was to end")
        watch(teller, ended + times.after - time.monotonic(), a, b)
        broken = a.broken + b.broken
        finished = time.monotonic()
        a.stop()
        b.stop()
    return Played(
        a=a.samples, b=b.samples, begun=begun, bought=bought, ended=ended, finished=finished, timeline=timeline,
        pushed_ms=pushed, enforced_ms=enforced, until_ms=until * 1000, over_ms=over, broken=broken,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the paper's 400 seconds")
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    args = parser.parse_args(argv)
    try:
        teller = Teller()
        played = play(FULL if args.full else SHORT, teller)
        teller.say("drawing the figure")
        args.output.mkdir(parents=True, exist_ok=True)
        draw(story(played), args.output)
        found = figures(played, time.monotonic() - teller.start)
        (args.output / "figure3.json").write_text(json.dumps(found, indent=1) + "\n")
    except (IsdfError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", []):
            print(note, file=sys.stderr)
        return 1
    print(f"\n{table(found)}\n")
    print(f"The figure is {args.output}/figure3.png (and .svg), the numbers are {args.output}/figure3.json.")
    if fault := missed(found, None if args.full else SECONDS):
        print(f"the demo missed its goals: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
