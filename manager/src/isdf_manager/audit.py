"""The log of every change: who did what to which device and service, and when. Rows are added, never changed."""

from __future__ import annotations

import getpass
import os
import time

import sqlalchemy as sa

from . import storage


def actor() -> str:
    """Who runs this process: the login name, or the number of the user where it has no name."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def record(
    connection: sa.Connection, who: str, action: str, device: str | None = None, service: str | None = None, **detail
) -> None:
    """Add a row in the caller's transaction, so that a change and its record stand or fall together."""
    connection.execute(
        storage.audit.insert().values(
            time=time.time(), actor=who, action=action, device=device, service=service, detail=detail
        )
    )


def entries(connection: sa.Connection, device: str | None = None, limit: int = 100) -> list[sa.Row]:
    """The last `limit` rows (of `device`), the oldest of them first."""
    query = sa.select(storage.audit).order_by(storage.audit.c.id.desc()).limit(limit)
    if device is not None:
        query = query.where(storage.audit.c.device == device)
    return connection.execute(query).all()[::-1]
