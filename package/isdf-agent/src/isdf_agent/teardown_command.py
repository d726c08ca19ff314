"""`isdf-agent teardown`: all goes that agents made of this router, for the end of their package."""

from __future__ import annotations

import shutil

from isdf.errors import IsdfError

from .bus import end_all
from .config import Paths
from .dataplane.link import LinkWorker
from .dataplane.nft import Nft
from .dataplane.ours import DNS_TABLE, TABLE


def teardown(paths: Paths) -> str:
    """A sentence that says so; `IsdfError` says what stays. An agent that is ending is waited for.

    Services end, tables, queues, redirections and the ifb go, wherever they are: the configuration may be another one
    than when they were made. Marks of connections stay in them until they end; nothing looks at them any more.
    """
    end_all(str(paths.ubus))
    errors = []
    for step in (_tables, _queues):
        try:
            step()
        except IsdfError as error:
            errors.append(error)
    shutil.rmtree(paths.run, ignore_errors=True)
    if errors:
        raise errors[0]
    return "what iSDF made of this router's queues and rules is gone, and so are its services"


def _tables() -> None:
    nft = Nft()
    try:
        nft.run("\n".join(f"add table {table}\ndelete table {table}" for table in (TABLE, DNS_TABLE)))
    finally:
        nft.close()


def _queues() -> None:
    worker = LinkWorker()
    try:
        worker.call("teardown")
    finally:
        worker.close()
