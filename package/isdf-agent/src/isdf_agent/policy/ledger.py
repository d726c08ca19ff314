"""The ledger: what is held, as JSON, so that a new agent goes on where the last one was killed."""

from __future__ import annotations

import json
import os

from isdf.errors import InvalidError
from isdf.log import Log
from isdf.model import Flow, Rate
from isdf.path import Path
from isdf.protocol import Protocol

from .leases import ClassLease, Held, MemberLease, member_id

log = Log(__name__)
FORMAT = 2


class Ledger(Protocol):
    """`load` gives what `save` got last, or None where there is nothing that can be believed."""

    def load(self) -> dict | None: ...

    def save(self, state: dict) -> None: ...


class FileLedger:
    """One file, replaced as a whole; no reader ever sees half of it. It lies in tmpfs, so nothing is synced, and the
    monotonic times in it mean what they meant."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict | None:
        try:
            state = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.error("ledger %s cannot be read (%s); starting with nothing held", self._path, error)
            return None
        if not isinstance(state, dict):
            log.error("ledger %s is not a table; starting with nothing held", self._path)
            return None
        return state

    def save(self, state: dict) -> None:
        """A file system that takes no more is logged, not raised: the kernel has the change already."""
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(json.dumps(state, separators=(",", ":")))  # which is ten times as fast as json.dump
            os.replace(temporary, self._path)
        except OSError as error:
            log.error("ledger %s cannot be written (%s); a restart now would lose the last change", self._path, error)


class MemoryLedger:
    """A ledger for tests; it keeps JSON text, so that what is not JSON fails here as it would in the file."""

    def __init__(self) -> None:
        self.text: str | None = None

    def load(self) -> dict | None:
        return None if self.text is None else json.loads(self.text)

    def save(self, state: dict) -> None:
        self.text = json.dumps(state)


def dump(held: Held, rounds: dict[str, list[str]]) -> dict:
    """`rounds`: for each owner whose round of asking is open, what it asked for in it (see `Policy.begin`)."""
    return {
        "format": FORMAT,
        "classes": [
            [c.owner, c.name, c.id, c.rate.down, c.rate.up, c.rate.down_ceil, c.rate.up_ceil, c.since]
            for c in held.classes.values()
        ],
        "members": [[m.owner, m.name, m.flow.as_dict(), m.since, m.until] for m in held.members.values()],
        "addresses": {host: dict(addresses) for host, addresses in held.addresses.items()},
        "rounds": rounds,
    }


def parse(state: dict) -> tuple[Held, dict[str, set]]:
    """The inverse of `dump`; `InvalidError` for anything that this agent did not write."""
    if state.get("format") != FORMAT:
        raise InvalidError(f"ledger of format {state.get('format')!r}, this agent reads format {FORMAT}")
    try:
        classes, members = {}, {}
        for owner, name, number, down, up, down_ceil, up_ceil, since in state["classes"]:
            rate = Rate(*map(int, (down, up, down_ceil, up_ceil)))
            classes[str(owner), str(name)] = ClassLease(str(owner), str(name), int(number), rate, float(since))
        for owner, name, flow, since, until in state["members"]:
            flow = Flow.parse(flow)
            lease = member_id(owner, name, flow)
            until = None if until is None else float(until)
            members[lease] = MemberLease(lease, owner, name, flow, float(since), until)
        addresses = {
            str(host): {str(address): float(until) for address, until in known.items()}
            for host, known in state["addresses"].items()
        }
        rounds = {str(owner): {str(lease) for lease in asked} for owner, asked in state["rounds"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidError(f"ledger is malformed: {type(error).__name__} {error}") from None
    if len({c.id for c in classes.values()}) != len(classes):
        raise InvalidError("ledger gives one id to two classes")
    if any((m.owner, m.name) not in classes for m in members.values()):
        raise InvalidError("ledger has a member of no class")
    return Held(classes, members, addresses), rounds
