"""One report to the manager, as a process of its own: `python3 -m isdf_agent.delivery.report`, JSON on stdin.

Exit status 0: delivered; 1: try again later; 2: the manager will never take this one. stdout says why not.
"""

from __future__ import annotations

import json
import sys
from urllib.parse import quote

from isdf.errors import IsdfError
from isdf.formats import keys as statements
from isdf.path import Path

from .connection import Connection
from .request import RefusedByManagerError, deadline, send


def main() -> int:
    told = json.load(sys.stdin)
    body = json.dumps(told["report"]).encode()
    try:
        keys = statements.read(Path(told["keys"]).read_bytes())
        with (
            deadline(told["deadline"], "the report"),
            Connection(told["manager"], keys.authority, insecure=told["insecure"]) as connection,
        ):
            send(
                connection, bytes.fromhex(told["device_key"]), "POST", f"/device/{quote(told['device'])}/report",
                body=body, headers={"Content-Type": "application/json"},
            )  # fmt: skip
    except (IsdfError, OSError) as error:
        print(error)
        return 2 if isinstance(error, RefusedByManagerError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
