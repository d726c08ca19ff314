"""What is told of each service of an assignment, to the manager and to people: a line of the report."""

from __future__ import annotations

import json
from collections.abc import Iterable

from isdf.formats.assignment import Entry

from .clock import Passes
from .journal import State, identity
from .trials import Trials, Words

TEXT = 2048  # characters of an error, and of what a service printed last, that go out
ROOM = 60_000  # bytes for all lines; the manager takes reports of 64 kB


def report(
    entries: Iterable[Entry], listing: dict[str, dict], passes: Passes, state: State, trials: Trials,
    stuck: dict[str, str],
) -> list[dict]:  # fmt: skip
    """A line for each of `entries`, and for what is `stuck`: should have ended, and may run on (why, by name)."""
    lines = []
    for entry in entries:
        name, there, time = entry.name, listing.get(entry.name), passes.state(entry)
        error = stuck.get(name) or sentence(entry, state) or (there["error"] if there else None)
        if attempt := trials.under_way.get(name):
            lines.append(_line(name, attempt.entry.version, "starting", there["since"] if there else None))
        elif there:
            lines.append(_line(name, there["version"], there["state"], there["since"], error, trials.words.get(name)))
        elif time != "open" and not stuck.get(name):
            lines.append(_line(name, entry.version, time, entry.since if time == "waiting" else entry.until))
        else:
            error = error or "it is not installed yet"
            lines.append(_line(name, entry.version, "failed", None, error, trials.words.get(name)))
    for name in sorted(stuck.keys() - {told["name"] for told in lines}):
        lines.append(_line(name, "", "failed", None, stuck[name]))
    most = TEXT
    while most > 1 and len(json.dumps(lines)) > ROOM:
        most //= 2
        for told in lines:
            for key in ("error", "log"):
                told[key] = told[key] and told[key][-most:]
    return lines


def _line(
    name: str, version: str, state: str, since: float | None, error: str | None = None, words: Words | None = None
) -> dict:
    exit_status, log = words if words and error else (None, None)
    # Of an error the end goes out, as one line of plain text.
    error = error and "".join(c if c.isprintable() else " " for c in error[-TEXT:])
    return {
        "name": name, "version": version, "state": state, "since": since, "error": error,
        "exit": exit_status, "log": log,
    }  # fmt: skip


def sentence(entry: Entry, state: State) -> str | None:
    """Why `entry` is not carried out, and what runs in its place; None where nothing failed."""
    failure = state.failed.get(entry.name)
    if failure is None:
        return None
    ready = (state.running.get(entry.name), state.before.get(entry.name))
    before = next((e for e in ready if e and identity(e) != failure.identity), None)
    if before is None or before.sha256 == entry.sha256 or failure.identity != identity(entry):
        return failure.reason
    fault = f"{entry.version} {'does not stay up' if failure.was_ready else 'does not start'}"
    if again := failure.back.get(identity(before)):
        return f"{fault}: {failure.reason}; nor does {before.version} again: {again}"
    return f"{fault}, {before.version} runs on: {failure.reason}"
