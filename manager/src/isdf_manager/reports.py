"""Reports: what a router says that it runs, and what failed. Untrusted text: bounded, no control characters.

{"serial": 1790000000000, "applied": true, "agent": "0.1.0", "uptime": 3600.5, "error": null,
 "services": [{"name": "pay-per-site", "version": "1.0.0", "state": "running", "since": 1790000001, "error": null,
               "exit": null, "log": ""}]}

A router may have a higher serial than the database knows: the manager was restored from an older copy. That is told,
and the next publication goes above it, as far as serials are times. One that is beyond was never this manager's.
"""

from __future__ import annotations

import json
import logging

import sqlalchemy as sa

from isdf.errors import FormatError, NotFoundError

from . import audit, limits, storage
from .clock import END, format_time
from .publications import MAX_REPORTED

log = logging.getLogger(__name__)
MAX_SIZE = 64 << 10
_MAX_SERVICES, _MAX_TEXT = 256, 2048


def parse(data: bytes) -> dict:
    """The report in `data` with the known fields alone; `FormatError`."""
    try:
        report = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FormatError("the report is not JSON") from None
    if not isinstance(report, dict):
        raise FormatError("the report is not a table")
    services = report.get("services", [])
    if not isinstance(services, list) or len(services) > _MAX_SERVICES:
        raise FormatError(f"the report's services are not a list of at most {_MAX_SERVICES}")
    error = report.get("error")
    return {
        "serial": _integer(report, "serial", 2**53),
        "applied": _boolean(report, "applied"),
        "services": [_service(s) for s in services],
        "error": _error(error) if error is not None else None,
        "agent": _text(report.get("agent", ""), "agent"),
        "uptime": _number(report.get("uptime", 0), "uptime"),
    }


def store(
    connection: sa.Connection, device: str, report: dict, address: str, now: float, notices: limits.Buckets
) -> None:
    """Keep `report` as the last word of `device`; of `notices` each line takes one that tells of a serial ahead."""
    table = storage.contact
    failed = failure(report) is not None
    _notice_ahead(connection, device, report["serial"], notices)
    connection.execute(
        table.update()
        .where(table.c.device == device)
        .values(
            report=report, reported_at=now, time=now, address=address, reports=table.c.reports + 1,
            failures=table.c.failures + int(failed),
        )
    )  # fmt: skip


def _notice_ahead(connection: sa.Connection, device: str, serial: int, notices: limits.Buckets) -> None:
    known, before = connection.execute(
        sa.select(storage.device.c.serial, storage.contact.c.report)
        .join_from(storage.device, storage.contact)
        .where(storage.device.c.name == device)
    ).one()
    if serial <= known:
        return
    connection.execute(storage.device.update().where(storage.device.c.name == device).values(renew_at=0))
    if (before is None or before["serial"] != serial) and not notices.take(device):
        log.warning("%s %s", device, ahead(serial, known))
        audit.record(connection, "serve", "ahead", device, reported=serial, known=known)


def ahead(serial: int, known: int) -> str:
    """The sentence about a device that has the assignment `serial` where the database knows `known` at the most."""
    if serial > MAX_REPORTED:
        return (
            f"says that it has an assignment of serial {serial}, which this manager never makes and cannot go beyond: "
            "somebody else has the assignment key, or the router does not tell the truth; with another key it heeds "
            "this manager again: isdf-manager keys rotate assignment"
        )
    had = format_time(known / 1000) if known else "none"
    return (
        f"ran ahead of this database: it has an assignment of {format_time(serial / 1000)}, the newest one here is of "
        f"{had}; was an older copy restored? Look at what was sold since; its next pull brings it what is sold here"
    )


def told_by(report: dict | None, device: str, service: str) -> dict:
    """What the last report says of `service`; `NotFoundError` where it says nothing."""
    for told in (report or {"services": []})["services"]:
        if told["name"] == service:
            return told
    raise NotFoundError(
        f"{device} has reported nothing of {service!r}; 'isdf-manager status {device}' tells what it has"
    )


def failure(report: dict, service: str | None = None) -> str | None:
    """In one sentence what the router could not do (of `service`, where it is given), None where all is well."""
    if report["error"] is not None:
        return report["error"]["detail"] or report["error"]["title"] or "the router names no reason"
    for told in report["services"]:
        if service in (None, told["name"]) and (told["error"] or told["state"] == "failed"):
            verb = " failed" if told["state"] == "failed" else ""  # else what was there before runs on
            return f"{told['name']}{verb}: {told['error'] or 'the router names no reason'}"
    return None


def state(report: dict, service: str) -> str | None:
    """What `service` does: "starting", "running", "failed", "waiting", "stopped", "ended"; None: it is not there."""
    return next((told["state"] for told in report["services"] if told["name"] == service), None)


def _service(value: object) -> dict:
    if not isinstance(value, dict):
        raise FormatError("the report has a service that is not a table")
    error = value.get("error")
    return {
        "name": _text(value.get("name"), "name", 64),
        "version": _text(value.get("version") or "", "version", 64),
        "state": _text(value.get("state"), "state", 32),
        "since": _number(value.get("since") or 0, "since", END),
        "error": None if error is None else _error(error)["detail"],
        "exit": _exit(value.get("exit")),
        "log": _lines(value.get("log") or ""),
    }


def _error(value: object) -> dict:
    if isinstance(value, str):
        value = {"detail": value}
    if not isinstance(value, dict):
        raise FormatError("the report has an error that is neither text nor a table")
    return {key: _text(value.get(key) or "", key) for key in ("type", "title", "detail")}


def _integer(report: dict, key: str, end: int) -> int:
    value = report.get(key)
    if type(value) is not int or not 0 <= value < end:
        raise FormatError(f"the report's {key} is not a whole number below {end}")
    return value


def _boolean(report: dict, key: str) -> bool:
    if not isinstance(report.get(key), bool):
        raise FormatError(f"the report's {key} is not true or false")
    return report[key]


def _number(value: object, key: str, end: int = 2**53) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < end:
        raise FormatError(f"the report's {key} is not a number below {end}")
    return value


def _text(value: object, key: str, most: int = _MAX_TEXT) -> str:
    if not isinstance(value, str):
        raise FormatError(f"the report's {key} is not text")
    # The end of an error output says more than its beginning.
    return "".join(c if c.isprintable() else " " for c in value[-most:]).strip()


def _exit(value: object) -> int | None:
    if value is not None and (type(value) is not int or not -(2**31) <= value < 2**31):
        raise FormatError("the report has an exit status that is not a number")
    return value


def _lines(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError("the report has a log that is not text")
    return "".join(c if c.isprintable() or c == "\n" else " " for c in value[-_MAX_TEXT:])


def _no_constant(name: str) -> float:
    raise ValueError(name)
