"""One pull, as a process of its own: `python3 -m isdf_agent.delivery.pull`, a `Pull` as JSON in, a result as JSON out.

It fetches and verifies, and changes nothing outside its folder: what it hands over are files that `trusted` accepted.
The result: `status` ("unchanged", "fetched" or "failed"), `timeline` (Unix ms), and by status
- fetched: `assignment` (path of the assignment as it came) and `packages` (path by SHA-256),
- failed: `error` (as in `isdf.errors`), and `retry_after` (seconds) where the manager asked for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from isdf.errors import FailedError, IsdfError
from isdf.formats import assignment as wire
from isdf.formats.usign import PublicKey, Signature

from .feed import Feed
from .request import TooManyError, deadline, send
from .trusted import ASSIGNMENT_MAX, INDEX_MAX, PACKAGE_MAX, Trusted
from .usign import Usign


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What a pull is told. `have` are the files of packages that are here already, by SHA-256; `serial` and `digest`
    are those of the last assignment, `etag` is its ETag where nothing is missing; `now` is the agent's clock;
    `status` is the package manager's status file; `vouched` is as in `Trusted`."""

    manager: str
    device: str
    device_key: str
    feed_secret: str
    catalogue_key: str
    assignment_key: str
    folder: str
    opkg: list[str]
    usign: list[str]
    status: str
    serial: int
    digest: str | None
    etag: str | None
    now: float
    clock_set: bool
    have: dict[str, str] = field(default_factory=dict)
    vouched: dict[str, str] = field(default_factory=dict)
    deadline: float = 60.0


def main() -> int:
    timeline = {"child": _now()}
    pull = Pull(**json.load(sys.stdin))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(INDEX_MAX, PACKAGE_MAX),) * 2)  # for wget, which has no cap
    try:
        with deadline(pull.deadline, "the pull"):
            result = _pull(pull, timeline)
    except IsdfError as error:
        result = {"status": "failed", "error": error.as_dict()}
        if isinstance(error, TooManyError):
            result["retry_after"] = error.retry_after
    except OSError as error:
        sentence = f"the pull could not use {error.filename or pull.folder}: {error.strerror or error}"
        result = {"status": "failed", "error": FailedError(sentence).as_dict()}
    with contextlib.suppress(BrokenPipeError):  # the agent went away meanwhile
        print(json.dumps(result | {"timeline": timeline}), flush=True)
    if result["status"] == "failed" and os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)  # a wget that opkg started may still hang on a server that never ends
    return 0


def _pull(pull: Pull, timeline: dict[str, int]) -> dict:
    folder = Path(pull.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    usign = Usign(pull.usign, folder)
    key, catalogue_key = PublicKey.parse(pull.assignment_key), PublicKey.parse(pull.catalogue_key)
    trusted = Trusted(
        pull.device, key, catalogue_key, usign,
        now=pull.now, clock_set=pull.clock_set, serial=pull.serial, digest=pull.digest, vouched=pull.vouched,
    )  # fmt: skip
    timeline["request"] = _now()
    answer = send(
        pull.manager, bytes.fromhex(pull.device_key), "GET", f"/device/{quote(pull.device)}/assignment",
        headers={"If-None-Match": pull.etag} if pull.etag else None, limit=ASSIGNMENT_MAX,
    )  # fmt: skip
    timeline["answer"] = _now()
    if answer.status == 304:
        return {"status": "unchanged"}
    assignment = trusted.accept_assignment(answer.body)
    timeline["verified"] = _now()
    for entry in assignment.services:
        if not trusted.is_vouched(entry):
            usign.begin(entry.catalogue_message(), Signature.parse(entry.signature), catalogue_key)
    packages = _packages(pull, trusted, folder, key, timeline)
    timeline["fetched"] = _now()
    path = folder / "assignment"
    path.write_bytes(answer.body)
    return {"status": "fetched", "assignment": str(path), "packages": packages}


def _packages(pull: Pull, trusted: Trusted, folder: Path, key: PublicKey, timeline: dict[str, int]) -> dict[str, str]:
    """Look into every package of the assignment, fetch those that are not here; the files of these, by SHA-256."""
    assignment, store = trusted.assignment, folder / "packages"
    store.mkdir(exist_ok=True)
    kept = {e.sha256: data for e in assignment.services if (data := _read(Path(pull.have.get(e.sha256, "")), e))}
    staged = {
        e.sha256: data for e in assignment.services if e.sha256 not in kept and (data := _read(store / e.sha256, e))
    }
    missing = [entry for entry in assignment.services if entry.sha256 not in kept | staged]
    if missing:
        url = f"{pull.manager}/feed/{quote(pull.device)}/{pull.feed_secret}/{assignment.index_sha256}"
        feed = Feed(
            pull.opkg, pull.usign, folder / "opkg", url=url, secret=pull.feed_secret, key=key, status=Path(pull.status)
        )
        trusted.accept_index(feed.index())
        timeline["index"] = _now()
        fetched = feed.download({entry.package: entry.filename for entry in missing})
        staged.update((entry.sha256, fetched[entry.package]) for entry in missing)
    for entry in assignment.services:
        trusted.accept_package(entry, (staged | kept)[entry.sha256])
    for path in store.iterdir():
        if path.name not in staged:
            path.unlink()
    for sha256, content in staged.items():
        (store / sha256).write_bytes(content)
    return {sha256: str(store / sha256) for sha256 in staged}


def _read(path: Path, entry: wire.Entry) -> bytes | None:
    """The file at `path` where it is the package of `entry`."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
    return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
