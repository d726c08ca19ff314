"""The ISP's edge: it lets each home have what was sold, and learns from the manager what was sold.

`python -m premises.edge` runs there. Each home's line has a token bucket in each direction, for the base and all orders
together, and 2 % more, so that the home's own queue decides as long as it keeps to what was sold. An order comes as a
signed POST to /provision from the manager (its provision hook, `isdf_manager.provision`; the rates are `rate` and
`up` of the order's configuration); whoever runs the premises sets the lines over the socket CONTROL.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable

from isdf import wire
from isdf.errors import ConflictError, InvalidError, IsdfError, NotFoundError
from isdf.model import parse_rate

CONTROL = "/run/edge.sock"
PORT = 8081
KEY = "the edge and the manager know this"
_HEAD_ROOM = 1.02
_QUEUE_SECONDS, _QUEUE_LEAST = 0.1, 16 * 1514  # bytes
_BURST_SECONDS, _BURST_LEAST = 0.01, 2 * 1514
_CLOCK_SKEW = 300  # seconds


class Edge:
    """What each home has: its base and its orders, in bit/s (down, up). `apply` tells the kernel, line by line."""

    def __init__(self, apply: Callable[[list[str]], None]) -> None:
        self._apply = apply
        self._lock = threading.Lock()
        self.bases: dict[str, tuple[int, int]] = {}
        self.orders: dict[str, dict[str, tuple[int, int]]] = {}
        self._ended: set[str] = set()

    def line(self, home: str, down: int, up: int) -> None:
        """Set the base of a home."""
        with self._lock:
            self.bases[home] = (down, up)
            self._enforce(home)

    def provision(self, home: str, order: str, configuration: dict) -> None:
        """Add an order, or change it. One that was withdrawn stays so: what comes after that has only been late."""
        with self._lock:
            self._known(home)
            if order in self._ended:
                raise ConflictError(f"order {order} was withdrawn")
            down = parse_rate(configuration.get("rate"))
            up = parse_rate(configuration.get("up", down))
            self.orders.setdefault(home, {})[order] = (down, up)
            self._enforce(home)

    def withdraw(self, home: str, order: str) -> None:
        """End an order; one that is not there has ended already."""
        with self._lock:
            self._known(home)
            self._ended.add(order)
            if self.orders.get(home, {}).pop(order, None):
                self._enforce(home)

    def sold(self, home: str) -> tuple[int, int]:
        """Base and orders together, in bit/s (down, up)."""
        parts = [self.bases[home], *self.orders.get(home, {}).values()]
        return sum(down for down, _ in parts), sum(up for _, up in parts)

    def _known(self, home: str) -> None:
        if home not in self.bases:
            raise NotFoundError(f"there is no line {home}")

    def _enforce(self, home: str) -> None:
        down, up = self.sold(home)
        self._apply([_bucket(home, down), _bucket(f"up-{home}", up)])


def setup(home: str) -> tuple[list[str], list[str]]:
    """Lines for `ip` and `tc` that prepare a line; what a home sends is queued in the device `up-HOME`."""
    up = f"up-{home}"
    redirect = f"u32 match u32 0 0 action mirred egress redirect dev {up}"
    return (
        [f"link add {up} gso_max_segs 1 type ifb", f"link set {up} up"],
        [f"qdisc add dev {home} ingress", f"filter add dev {home} parent ffff: protocol all {redirect}"],
    )


def _bucket(device: str, rate: int) -> str:
    rate = round(rate * _HEAD_ROOM)
    burst = max(_BURST_LEAST, round(rate / 8 * _BURST_SECONDS))
    queue = max(_QUEUE_LEAST, round(rate / 8 * _QUEUE_SECONDS))
    return f"qdisc replace dev {device} root handle 1: tbf rate {rate}bit burst {burst} limit {queue}"


class _Orders(http.server.BaseHTTPRequestHandler):
    edge: Edge

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        moment = self.headers.get("Isdf-Time", "0")
        signature = (moment, self.headers.get("Isdf-Nonce", ""), self.headers.get("Isdf-Signature", ""))
        if not wire.verify_request(KEY.encode(), "POST", self.path, wire.content_digest(body), *signature):
            return self._answer(403, "the signature does not verify")
        if abs(time.time() - int(moment)) > _CLOCK_SKEW:
            return self._answer(403, "the request is too old")
        try:
            request = json.loads(body)
            if request["verb"] == "provision":
                self.edge.provision(request["device"], request["order"], request["configuration"])
            else:
                self.edge.withdraw(request["device"], request["order"])
        except (IsdfError, KeyError, ValueError) as error:
            return self._answer(422, str(error))
        return self._answer(200, "done")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        data = text.encode() + b"\n"
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, form: str, *values: object) -> None:
        print(form % values, flush=True)


class _Control(socketserver.StreamRequestHandler):
    edge: Edge

    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        try:
            if request["verb"] == "line":
                self.edge.line(request["home"], request["down"], request["up"])
            elif request["verb"] != "sold":
                raise InvalidError(f"verb {request['verb']!r} is neither line nor sold")
            answer = {"sold": self.edge.sold(request["home"])}
        except IsdfError as error:
            answer = {"error": str(error)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _tc(lines: list[str]) -> None:
    subprocess.run(["tc", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def main() -> None:
    _Orders.edge = _Control.edge = Edge(_tc)
    orders = _Server(("::", PORT), _Orders)
    threading.Thread(target=orders.serve_forever, daemon=True).start()
    control = socketserver.ThreadingUnixStreamServer(CONTROL + ".new", _Control)
    os.rename(CONTROL + ".new", CONTROL)  # who finds it, finds it listening
    control.serve_forever()


if __name__ == "__main__":
    main()
