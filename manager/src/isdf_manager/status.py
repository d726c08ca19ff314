"""Status: for each device what should run, what runs, since and until when, the last contact, and why not."""

from __future__ import annotations

import sqlalchemy as sa

from . import catalogue, reports, storage
from .clock import format_length, format_time


def collect(connection: sa.Connection, now: float, device: str | None = None) -> list[dict]:
    """A table for each device (or for `device` alone); times are Unix seconds or None."""
    table, contact = storage.device, storage.contact
    query = sa.select(table, contact).join(contact, contact.c.device == table.c.name).order_by(table.c.name)
    sold = sa.select(storage.order).where(storage.order.c.state.in_(storage.OPEN)).order_by(storage.order.c.created)
    if device is not None:
        query, sold = query.where(table.c.name == device), sold.where(storage.order.c.device == device)
    orders: dict[str, list] = {}
    for row in connection.execute(sold):
        orders.setdefault(row.device, []).append(row)
    versions: dict[str, str] = {}
    return [_device(connection, row, orders.get(row.name, []), versions, now) for row in connection.execute(query)]


def _device(connection: sa.Connection, row: sa.Row, orders: list, versions: dict[str, str], now: float) -> dict:
    report = row.report or {"services": [], "error": None, "serial": 0, "applied": False, "agent": ""}
    runs = {s["name"]: s for s in report["services"]}
    services = []
    for sold in orders:
        if sold.service not in versions:
            versions[sold.service] = catalogue.newest(connection, sold.service).version
        services.append(_sold(sold, versions[sold.service], runs.pop(sold.service, None), now))
    for service in runs.values():
        if service["state"] != "ended":
            services.append(
                _entry(service["name"], None, None, service) | {"why_not": "no longer sold; ends at its next pull"}
            )
    return {
        "device": row.name,
        "address": row.address,
        "last_contact": row.time,
        "agent": report["agent"],
        "serial": row.serial,
        "pulled": row.pulled,
        "applied": report["serial"] if report["applied"] else None,
        "ahead": report["serial"] if report["serial"] > row.serial else None,
        "enrolled": row.device_key is not None,
        "error": _whole(row, report),
        "services": services,
    }


def _whole(row: sa.Row, report: dict) -> str | None:
    """What is wrong with the device as a whole, in words."""
    if row.device_key is None:
        return "not enrolled: its claim code is not used yet"
    ahead = reports.ahead(report["serial"], row.serial) if report["serial"] > row.serial else None
    return "; ".join(filter(None, (ahead, reports.failure(report | {"services": []})))) or None


def _sold(sold: sa.Row, version: str, running: dict | None, now: float) -> dict:
    over = sold.until is not None and sold.until <= now
    should = "run" if sold.state == "active" and not over else "end" if sold.state != "ordered" else "wait"
    entry = _entry(sold.service, should, version, running)
    entry |= {"order": sold.id, "from": sold.starts, "until": sold.until, "configuration": sold.config}
    if sold.trouble:
        entry["why_not"] = sold.trouble
    elif should == "run" and running is None:
        entry["why_not"] = "not reported yet"
    elif should == "wait":
        entry["why_not"] = "the core is being provisioned"
    return entry


def _entry(service: str, should: str | None, version: str | None, running: dict | None) -> dict:
    return {
        "service": service, "should": should or "-", "version": version, "order": None, "from": None, "until": None,
        "configuration": None, "state": running["state"] if running else None,
        "running_version": running["version"] if running else None, "since": running["since"] if running else None,
        "why_not": running["error"] if running else None,
    }  # fmt: skip


def as_table(devices: list[dict], now: float) -> str:
    """The same for a terminal."""
    rows = [("DEVICE", "LAST CONTACT", "SERVICE", "SHOULD", "IS", "VERSION", "SINCE", "UNTIL", "WHY NOT")]
    for d in devices:
        seen = "never" if d["last_contact"] is None else f"{format_length(now - d['last_contact'])} ago"
        head, whole = (d["device"], seen), d["error"]  # of the device as a whole: once
        if not d["services"]:
            rows.append((*head, "-", "-", "-", "-", "-", "-", d["error"] or ""))
        for s in d["services"]:
            version = s["running_version"] or s["version"] or "-"
            if s["version"] and s["running_version"] and s["version"] != s["running_version"]:
                version = f"{s['running_version']} -> {s['version']}"
            until = format_time(s["until"], "no end" if s["order"] else "-")
            rows.append(
                (*head, s["service"], s["should"], s["state"] or "-", version, format_time(s["since"] or None), until,
                 "; ".join(filter(None, (s["why_not"], whole))))
            )  # fmt: skip
            head, whole = ("", ""), None
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
