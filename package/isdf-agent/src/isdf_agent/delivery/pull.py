"""One pull, as a process of its own: `python3 -m isdf_agent.delivery.pull`, a `Pull` as JSON in, a result as JSON out.

It fetches and verifies, and changes nothing outside its folder: what it hands over are files that `trusted` accepted.
The result: `status` ("unchanged", "fetched" or "failed"), `timeline` (Unix ms), `keys` (the path of a newer keys
statement) where there is one, `ends` (our address and the manager's) where it answered, `time` (Unix seconds, the
manager's) where he proved who he is, and by status
- fetched: `assignment` (path of the assignment as it came) and `packages` (path by SHA-256),
- failed: `error` (as in `isdf.errors`), and `retry_after` (seconds) where the manager asked for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import time
from urllib.parse import quote

from isdf.errors import FailedError, IsdfError, UnavailableError
from isdf.formats import assignment as wire
from isdf.formats import keys as statements
from isdf.formats.usign import PublicKey, Signature
from isdf.path import Path
from isdf.value import dataclass, field

from .feed import Feed
from .manager import Manager
from .request import TooManyError, date_of, deadline, time_of
from .trusted import ASSIGNMENT_MAX, INDEX_MAX, Trusted, TrustedKeys
from .usign import Usign

SIGNATURE_MAX = 1000  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What a pull is told. `keys` is the file of the manager's keys statement; `folder` is made for this pull, named by
    a number that only rises; `have` are the files of packages that are here already, by SHA-256; `serial`, `digest` and
    `signer` are those of the last assignment, `etag` is its ETag where nothing is missing; `known` is the address of
    the manager where it is to be tried before its name is looked up; `now` is the agent's clock; `issued`,
    `unsigned` and `vouched` are as in `Trusted`; `status` is the package manager's status file."""

    manager: str
    insecure: bool
    device: str
    device_key: str
    keys: str
    folder: str
    opkg: list[str]
    usign: list[str]
    status: str
    serial: int
    digest: str | None
    signer: str | None
    etag: str | None
    now: float
    clock_set: bool
    issued: int = 0
    unsigned: float | None = None
    known: str | None = None
    have: dict[str, str] = field(default_factory=dict)
    vouched: dict[str, str] = field(default_factory=dict)
    deadline: float = 60.0


def main() -> int:
    timeline = {"child": _now()}
    pull = Pull(**json.load(sys.stdin))
    result = {}
    try:
        with deadline(pull.deadline, "the pull"):
            _pull(pull, timeline, result)
    except IsdfError as error:
        result |= {"status": "failed", "error": error.as_dict()}
        if isinstance(error, TooManyError):
            result["retry_after"] = error.retry_after
    except OSError as error:
        sentence = f"the pull could not use {error.filename or pull.folder}: {error.strerror or error}"
        result |= {"status": "failed", "error": FailedError(sentence).as_dict()}
    with contextlib.suppress(BrokenPipeError):  # the agent went away meanwhile
        print(json.dumps(result | {"timeline": timeline}), flush=True)
    return 0


def _pull(pull: Pull, timeline: dict[str, int], result: dict) -> None:
    folder = _made(Path(pull.folder))
    usign = Usign(pull.usign, folder)
    trusted_keys = TrustedKeys(usign, keys=statements.read(Path(pull.keys).read_bytes()))

    def newer(statement: bytes) -> None:
        (folder / "keys").write_bytes(statement)
        result["keys"] = str(folder / "keys")

    with Manager(
        pull.manager, bytes.fromhex(pull.device_key), trusted_keys, newer, insecure=pull.insecure, known=pull.known
    ) as manager:
        timeline["request"] = _now()
        try:
            answer = manager.send(
                "GET", f"/device/{quote(pull.device)}/assignment",
                headers={"If-None-Match": pull.etag} if pull.etag else None, limit=ASSIGNMENT_MAX,
            )  # fmt: skip
        finally:
            if manager.ends:
                result["ends"] = manager.ends
        timeline["answer"] = _now()
        if pull.manager.startswith("https:") and "date" in answer.headers:
            result["time"] = time_of(answer)  # he proved who he is; the clock may have been set by anybody
        if answer.status == 304:
            if not pull.etag:
                raise UnavailableError("the manager says that nothing is new (status 304), which nobody asked it")
            result["status"] = "unchanged"
            return
        key, catalogue_key = (
            PublicKey.parse(line) for line in (trusted_keys.keys.assignment_key, trusted_keys.keys.catalogue_key)
        )
        trusted = Trusted(
            pull.device, key, catalogue_key, usign,
            now=result.get("time", pull.now), clock_set=pull.clock_set or "time" in result, date=date_of(answer),
            serial=pull.serial, digest=pull.digest, signer=pull.signer, vouched=pull.vouched,
            issued=pull.issued, unsigned=result.get("time", pull.unsigned),
        )  # fmt: skip
        assignment = trusted.accept_assignment(answer.body)
        timeline["verified"] = _now()
        for entry in assignment.services:
            if not trusted.is_vouched(entry):
                usign.begin(entry.catalogue_message(), Signature.parse(entry.signature), catalogue_key)
        packages = _packages(pull, trusted, manager, key, timeline)
    timeline["fetched"] = _now()
    path = folder / "assignment"
    path.write_bytes(answer.body)
    result |= {"status": "fetched", "assignment": str(path), "packages": packages}


def _packages(
    pull: Pull, trusted: Trusted, manager: Manager, key: PublicKey, timeline: dict[str, int]
) -> dict[str, str]:
    """Look into every package of the assignment, fetch those that are not here; the files of these, by SHA-256."""
    assignment, folder = trusted.assignment, Path(pull.folder)
    found = {e.sha256: data for e in assignment.services if (data := _read(Path(pull.have.get(e.sha256, "")), e))}
    missing = [entry for entry in assignment.services if entry.sha256 not in found]
    if missing:
        feed = Feed(pull.opkg, pull.usign, folder / "opkg", key=key, status=Path(pull.status))
        path = f"/feed/{quote(pull.device)}/{assignment.feed}/{assignment.index_sha256}"
        index = manager.fetch(f"{path}/Packages", min(assignment.index_size, INDEX_MAX))
        signature = manager.fetch(f"{path}/Packages.sig", SIGNATURE_MAX)
        trusted.accept_index(feed.index(index, signature))
        timeline["index"] = _now()
        fetched = feed.download(
            {e.package: (e.filename, manager.fetch(f"{path}/{quote(e.filename)}", e.size)) for e in missing}
        )
        found.update((entry.sha256, fetched[entry.package]) for entry in missing)
        shutil.rmtree(folder / "opkg", ignore_errors=True)  # it has each package twice, in the router's memory
    for entry in assignment.services:
        trusted.accept_package(entry, found[entry.sha256])
    staged = {entry.sha256: folder / f"{entry.sha256}.ipk" for entry in missing}
    for sha256, path in staged.items():
        path.write_bytes(found[sha256])
    return {sha256: str(path) for sha256, path in staged.items()}


def _made(folder: Path) -> Path:
    """The folder of this pull; those of earlier ones go, and with them the ground under an orphan that is in one."""
    folder.mkdir(mode=0o700, parents=True)
    for other in folder.parent.iterdir():
        if other.name.isdecimal() and int(other.name) < int(folder.name):
            shutil.rmtree(other, ignore_errors=True)
    return folder


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
