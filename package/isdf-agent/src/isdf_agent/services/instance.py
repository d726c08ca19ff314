"""How procd is told to run a service: as a user of its own, in our Python, started again when it ends."""

from __future__ import annotations

import os

from isdf.path import Path


def instance(name: str, version: str, start: int, *, folder: Path, ubus: Path) -> dict:
    """The table `instances.main` of procd's `set`; `start` is another number for each start."""
    # Where the package put our modules, which is not among Python's own folders.
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    own = {"ISDF_VERSION": version, "UBUS_SOCKET": str(ubus), "PYTHONDONTWRITEBYTECODE": "1"}
    # procd leaves a process alone whose description is the same: one that hangs would never be exchanged.
    # And it compares each entry but for its last four bytes (utils.c, blobmsg_list_equal), the NUL among them.
    own["ISDF_START"] = f"{start}. start"
    return {
        "command": ["/usr/bin/python3", "-P", "-m", "isdf.sdk", str(folder / name)],
        "user": f"isdf-{name}",
        "group": "isdf",
        "respawn": ["300", "2", "4"],
        "env": own | path,
        "stdout": True,
        "stderr": True,
        "term_timeout": 2,  # seconds; the agent cleans up after it, and its successor waits for its end
    }


def has_user(name: str, passwd: Path) -> bool:
    """Whether there is a user for the service, and not root: procd passes over a user that does not exist."""
    try:
        lines = passwd.read_text(errors="replace").splitlines()
    except OSError:
        return False
    users = {fields[0]: fields[2] for line in lines if len(fields := line.split(":")) > 2}
    return users.get(f"isdf-{name}", "0") not in ("", "0")
