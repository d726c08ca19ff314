"""The cables between the homes and the edge, where faults are made: pulled plugs, loss, delay.

Each line is two devices in the host `wire`; what comes in at one goes out at the other. Loss is a rule there, frame by
frame, in each direction by itself. A kernel may have no netem (this project is developed on one without), so delay
is a process that carries the frames from one device to the other instead of the kernel and keeps each for a while.
"""

from __future__ import annotations

import subprocess

from .host import Host, Process
from .network import batch

_LOSS_STEPS = 100_000  # the finest loss is 0.001 %


class Wire:
    """The lines of all homes, by the homes' names."""

    def __init__(self, host: Host, homes: list[str]) -> None:
        self.host = host
        self._loss = dict.fromkeys(homes, 0.0)
        self._delay = dict.fromkeys(homes, 0.0)
        self._relays: dict[str, Process] = {}
        self._apply()

    def up(self, home: str) -> None:
        batch(self.host, [f"link set to-{home} up"])

    def down(self, home: str) -> None:
        """Pull the plug at the home: its `wan` loses the carrier."""
        batch(self.host, [f"link set to-{home} down"])

    def lose(self, home: str, percent: float) -> None:
        """Lose `percent` of the frames of a home's line, 0 to 100, in each direction."""
        if not 0 <= percent <= 100:
            raise ValueError(f"loss of {percent:g} % is not 0 to 100")
        self._loss[home] = percent
        self._apply()
        self._relay(home)

    def delay(self, home: str, milliseconds: float) -> None:
        """Keep each frame of a home's line for that long, in each direction; 0 takes the process away again."""
        if not 0 <= milliseconds <= 60_000:
            raise ValueError(f"delay of {milliseconds:g} ms is not 0 to 60000")
        self._delay[home] = milliseconds
        self._relay(home)
        self._apply()

    def mend(self) -> None:
        """Take all faults of all lines away."""
        for home in self._loss:
            if self._delay[home]:
                self.delay(home, 0)
            self.up(home)
            self._loss[home] = 0.0
        self._apply()

    def _apply(self) -> None:
        lines = ["table netdev wire", "delete table netdev wire", "table netdev wire {"]
        for home, loss in self._loss.items():
            if self._delay[home]:
                continue
            for source, target in ((f"to-{home}", f"from-{home}"), (f"from-{home}", f"to-{home}")):
                steps = round(loss * _LOSS_STEPS / 100)
                some = f"numgen random mod {_LOSS_STEPS} < {steps}" if steps < _LOSS_STEPS else ""
                drop = f"{some} drop;" if steps else ""
                hook = f"type filter hook ingress device {source} priority 0;"
                lines.append(f'chain {source} {{ {hook} {drop} fwd to "{target}"; }}')
        self.host.run(["nft", "-f", "-"], input="\n".join([*lines, "}", ""]))

    def _relay(self, home: str) -> None:
        if before := self._relays.pop(home, None):
            before.terminate()
            before.communicate()
        if self._delay[home]:
            words = [f"to-{home}", f"from-{home}", str(self._delay[home]), str(self._loss[home])]
            argv = self.host.python("premises.relay", *words)
            relay = self._relays[home] = self.host.popen(argv, stdout=subprocess.PIPE, text=True)
            relay.stdout.readline()  # "ready"
