"""A hundred thousand devices in a manager's database, all like one that has enrolled and pulled."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from isdf_manager import storage
from isdf_manager.home import Home

_BATCH = 10_000


def fill(home: Home, template: str, count: int) -> dict[str, bytes]:
    """Add `count` copies of the device `template`, each with a key of its own; the keys by name.

    The signatures of their assignments are the template's: nobody here verifies them.
    """
    keys = {f"{template}-{number:06}": secrets.token_bytes(32) for number in range(count)}
    names = list(keys)
    store = home.storage(home.config(), durable=False)
    try:
        for begin in range(0, count, _BATCH):
            batch = names[begin : begin + _BATCH]
            with store.write() as connection:
                for table in (storage.device, storage.contact, storage.publication):
                    column = "name" if table is storage.device else "device"
                    rows = connection.execute(sa.select(table).where(table.c[column] == template)).mappings().all()
                    own = [dict(row) | {column: name} for row in rows for name in batch]
                    if table is storage.device:
                        own = [row | {"device_key": keys[row["name"]].hex(), "claim": row["name"]} for row in own]
                    connection.execute(table.insert(), own)
    finally:
        store.close()
    return keys
