"""The link worker: a short-lived child that has pyroute2 (12 MB) in its memory, so that the agent need not.

Commands about a whole table of nft are its work, too: libnftables keeps what they took (20 MB after 10,000 elements).

`python3 -m isdf_agent.dataplane.link_worker` with a socket as standard input. A request is a line of JSON,
`{"op": "shape" | "teardown" | "run" | "read", ...}`, and so is its answer, `{"ok": ...}` or `{"error": sentence}`.
Every operation says what should be, so it may be asked again after a worker died in the middle. The worker ends after
`IDLE` seconds without a request, or when the agent is gone; classes that still have packets queued are waited for.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

from isdf.errors import IsdfError
from isdf.log import Log, setup

from .nft import Nft

log = Log(__name__)

IDLE = 10.0
POLL = 0.02  # seconds between looks at queues that should run empty


def carry_out(shaper, nft: Nft, request: dict) -> dict | list | None:
    from .shaper import Plan

    if request["op"] == "run":
        return nft.run(request["commands"])
    if request["op"] == "read":
        return nft.read(request["command"])
    if request["op"] == "teardown":
        return shaper.teardown()
    if request["anew"]:
        shaper.forget()
    classes = {int(number): tuple(rates) for number, rates in request["classes"].items()}
    plan = Plan(request["wan"], tuple(request["lan"]), request["down"], request["up"], classes)
    return shaper.shape(plan)


def serve(connection: socket.socket, shaper, idle: float = IDLE) -> None:
    """Answer requests until none comes for `idle` seconds."""
    nft = Nft()
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    buffer = b""
    while True:
        if not selector.select(POLL if shaper.retiring else idle):
            if not shaper.retiring:
                return
            try:
                shaper.drain()
            except Exception:  # a device went away with its queues; the next plan looks anew
                log.exception("waiting for queues to run empty failed")
                shaper.retiring.clear()
            continue
        data = connection.recv(1 << 16)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            try:
                answer = {"ok": carry_out(shaper, nft, json.loads(line))}
            except IsdfError as error:
                answer = {"error": str(error)}
            except Exception as error:
                log.exception("request %s failed", line[:200])
                answer = {"error": f"the link worker failed: {type(error).__name__}: {error}"}
            connection.sendall(json.dumps(answer).encode() + b"\n")


def main() -> None:
    setup("isdf-link-worker", "warning")
    connection = socket.socket(fileno=sys.stdin.fileno())
    from .shaper import Shaper

    serve(connection, Shaper())


if __name__ == "__main__":
    main()
