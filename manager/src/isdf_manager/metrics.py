"""/metrics in Prometheus' text format: sums over all devices, nothing about any one of them."""

from __future__ import annotations

import sqlalchemy as sa

from . import storage


def render(connection: sa.Connection, now: float) -> str:
    contact, order = storage.contact, storage.order
    pulls, reports, failures, seen = connection.execute(
        sa.select(
            sa.func.sum(contact.c.pulls),
            sa.func.sum(contact.c.reports),
            sa.func.sum(contact.c.failures),
            sa.func.count(sa.case((contact.c.time > now - 3600, 1))),
        )
    ).one()
    devices, pushes = connection.execute(
        sa.select(sa.func.count(), sa.func.sum(storage.device.c.pushes)).select_from(storage.device)
    ).one()
    states = dict(connection.execute(sa.select(order.c.state, sa.func.count()).group_by(order.c.state)).all())
    lines = []
    for name, kind, text, value in (
        ("isdf_devices", "gauge", "Devices that are known.", devices),
        ("isdf_devices_seen", "gauge", "Devices that called in the last hour.", seen),
        ("isdf_pulls_total", "counter", "Assignments asked for by their devices.", pulls),
        ("isdf_pushes_total", "counter", "Pushes begun (repeated datagrams count once).", pushes),
        ("isdf_reports_total", "counter", "Reports taken.", reports),
        ("isdf_failures_total", "counter", "Reports of something that failed.", failures),
    ):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value or 0}"]
    lines += ["# HELP isdf_orders Orders by state.", "# TYPE isdf_orders gauge"]
    lines += [f'isdf_orders{{state="{state}"}} {states.get(state, 0)}' for state in storage.OPEN]
    return "\n".join(lines) + "\n"
