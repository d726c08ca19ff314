"""What is measured at the clients: transfers over one TCP connection each, and packets that must all arrive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from premises.download import Download, Transfer
from premises.figure3 import mean
from premises.home import Home
from premises.host import Host, wait_until
from premises.plan import NAMES
from premises.premises import FILE

HERE = Path(__file__).parent


def download(client: Host, mirror: str, family: int = 4) -> Transfer:
    return Download(client, f"http://{mirror}.example/{FILE}", family)


def upload(client: Host, mirror: Host, family: int, port: int) -> Transfer:
    """One TCP connection from a client to a mirror; what arrives there is measured. A port for each."""
    program = [sys.executable, str(HERE / "upload.py")]
    address = NAMES[f"{mirror.name}.example"][family == 6]
    transfer = Transfer(mirror.popen([*program, "sink", str(port)], stdout=subprocess.PIPE))
    wait_until(lambda: mirror.run(["ss", "-Hltn", f"sport = :{port}"]).stdout, 10, "the server of the upload")
    client.popen([*program, "to", address, str(port)])
    return transfer


def speeds(transfers: list[Transfer], seconds: float) -> list[float]:
    """What each carries in kB/s, during so many seconds from now."""
    begun = time.monotonic()
    time.sleep(seconds)  # this is the measuring, not a wait for something
    return [mean(t.samples, begun, begun + seconds) for t in transfers]


def settle(seconds: float) -> None:
    """TCP finds its new share in its own time; until then there is nothing steady to measure."""
    time.sleep(seconds)


WINDOW = 10  # packets of 1000 bytes: two thirds of the shortest queue
_BIG, _SMALL = 1000, 60


@contextmanager
def no_packet_lost(home: Home, families: tuple[int, ...] = (4, 6)):
    """Keeps queues standing in the classes of both mirrors and in both directions; asserts that each packet arrived.

    No queue is ever full (see `datagrams`), so what is missing was lost to a change. The edge must let more pass than
    the home, so that the queues stand at home.
    """
    flows = [
        {"to": NAMES[f"{mirror}.example"][family == 6], "send": send, "answer": answer, "window": WINDOW}
        for mirror in ("mirror-a", "mirror-b")
        for family in families
        for send, answer in ((_BIG, _SMALL), (_SMALL, _BIG))
    ]
    words = [sys.executable, str(HERE / "datagrams.py"), "send", json.dumps(flows)]
    with home.client(1).popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield
        finally:
            out, _ = program.communicate(timeout=20)
    told = json.loads(out)
    assert all(flow["sent"] > 0 for flow in told)
    assert [flow["lost"] for flow in told] == [0] * len(flows), told
