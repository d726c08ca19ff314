"""The push: a small datagram that makes a router pull now, repeated until its pull is seen.

It goes to the address from which the router called last. What follows is read in the database, where the server
writes it: the pull, then the router's report.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import sqlalchemy as sa

from isdf import wire
from isdf.errors import FailedError, UnavailableError

from . import devices, reports, storage

REPEAT = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds after the first datagram
PULL_TIMEOUT, REPORT_TIMEOUT = 10.0, 60.0
_LOOK = 0.01


class NeverSeenError(UnavailableError):
    """There is no address to push to: the device has not called in yet."""


class ReportedFailureError(FailedError):
    """The router pulled, and could not do what it was told."""

    slug, title = "router-failed", "The router could not do it"


def send(datagram: bytes, address: str, port: int) -> None:
    """One datagram, IPv4 or IPv6; whatever the network says of it comes too late to matter."""
    family, kind, protocol, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        try:
            sock.sendto(datagram, target)
        except OSError:
            pass  # unreachable at this moment; the next one may pass


class Push:
    """Pushes to a device and follows what it makes of it; `say` gets each thing as it happens."""

    def __init__(
        self, store: storage.Storage, say: Callable[[str], None], send: Callable[[bytes, str, int], None] = send,
        clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._store, self._say, self._send = store, say, send
        self._clock, self._sleep, self._monotonic = clock, sleep, monotonic  # for what happened when; for how long

    def deliver(
        self, device: str, serial: int, service: str | None = None, ends: bool = False, same_as: int | None = None
    ) -> None:
        """Push until `device` has pulled the publication `serial`, then wait for its report.

        It is about `service`, which shall run or end (`ends`); None: about all of them. `same_as` is the serial of an
        earlier publication of the same services, if there is one. Raises `NeverSeenError`,
        `UnavailableError` when the router does not pull or report in time, `ReportedFailureError` with its words.
        """
        begun, started, before = self._clock(), self._monotonic(), self._contact(device).report
        known = same_as is not None and before is not None and before["serial"] >= same_as
        known = known and reports.failure(before) is None
        datagram, address, port = self._datagram(device)
        self._send(datagram, address, port)
        self._say("pushed")
        repeats = [started + offset for offset in REPEAT]
        while True:
            seen = self._contact(device)
            if seen.pulled >= serial:
                break
            now = self._monotonic()
            if repeats and now >= repeats[0]:
                repeats.pop(0)
                self._send(datagram, address, port)
            if now >= started + PULL_TIMEOUT:
                raise UnavailableError(
                    f"{device} did not pull within {PULL_TIMEOUT:g} s of the push to {address}; "
                    "it will by itself when it is reachable, within its pull interval"
                )
            self._sleep(_LOOK)
        self._say(f"pulled after {_ms(seen.pulled_at - begun)}")
        if known:
            self._say("nothing new")
        else:
            self._follow(device, serial, begun, started + REPORT_TIMEOUT, service, ends)

    def _follow(self, device: str, serial: int, begun: float, deadline: float, service: str | None, ends: bool) -> None:
        while True:
            seen = self._contact(device)
            report, late = seen.report, self._monotonic() >= deadline
            fresh = seen.reported_at >= seen.pulled_at
            if report is not None and (report["serial"] >= serial or (fresh and report["error"])) and (fresh or late):
                if reason := reports.failure(report, service):
                    raise ReportedFailureError(f"{device} reports: {reason}")
                if word := _outcome(report, service, ends):
                    self._say(f"{word} after {_ms(seen.reported_at - begun)}")
                    return
            if late:
                raise UnavailableError(
                    f"{device} pulled, but did not report within {REPORT_TIMEOUT:g} s that it is done; look at its log"
                )
            self._sleep(_LOOK)

    def _datagram(self, device: str) -> tuple[bytes, str, int]:
        table = storage.device
        with self._store.write() as connection:
            row = devices.find(connection, device, changing=True)
            address = connection.execute(
                sa.select(storage.contact.c.address).where(storage.contact.c.device == device)
            ).scalar()
            if row.device_key is None:
                raise NeverSeenError(
                    f"{device} has not called in yet: enrol its router first ('isdf-manager device show {device}' "
                    f"tells whether its claim code is used, 'device replace {device}' makes another one)"
                )
            if not address:
                raise NeverSeenError(f"{device} has not called in yet, so there is no address to push to")
            connection.execute(table.update().where(table.c.name == device).values(pushes=table.c.pushes + 1))
        key = wire.derive(bytes.fromhex(row.device_key), "push")
        return wire.push_datagram(key, row.push_sequence), address, row.push_port

    def _contact(self, device: str) -> sa.Row:
        with self._store.read() as connection:
            return connection.execute(sa.select(storage.contact).where(storage.contact.c.device == device)).one()


def _outcome(report: dict, service: str | None, ends: bool) -> str | None:
    """The word for what came of it; None while the router is at it and will report again."""
    states = [s["state"] for s in report["services"]] if service is None else [reports.state(report, service)]
    if "starting" in states:
        return None
    if ends:
        return "ended" if states[0] in (None, "ended") else None
    if service is None:
        return "running" if "running" in states else "applied"
    return states[0]


def _ms(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.0f} ms"
