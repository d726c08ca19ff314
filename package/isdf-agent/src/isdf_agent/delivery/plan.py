"""What differs between what should run and what does; the least that makes them equal. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from isdf.formats.assignment import Entry

from .installer import PREFIX


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of services to end (`gone`); entries by name to hand another configuration (`tuned`), to install and start
    (`fresh`), to start (`idle`), and that run already but stand otherwise in the assignment (`kept`)."""

    gone: frozenset[str]
    tuned: dict[str, Entry]
    fresh: dict[str, Entry]
    idle: dict[str, Entry]
    kept: dict[str, Entry]

    @property
    def empty(self) -> bool:
        return not (self.gone or self.tuned or self.fresh or self.idle)


def plan(
    target: dict[str, Entry], held: set[str], *,
    ready: dict[str, Entry], installed: dict[str, str], versions: dict[str, str], failed: set[str],
) -> Plan:  # fmt: skip
    """The way to `target`, leaving those `held` as they are.

    `ready` is what was ready last of each service, `installed` the version of each package, `versions` that of each
    service that was started; services in `failed` are started again although they count as started.
    """
    tuned, fresh, idle, kept = {}, {}, {}, {}
    for name, entry in target.items():
        before = ready.get(name)
        if before is None or before.sha256 != entry.sha256 or installed.get(entry.package) != entry.version:
            fresh[name] = entry
        elif versions.get(name) != entry.version or name in failed:
            idle[name] = entry
        elif before.config != entry.config:
            tuned[name] = entry
        elif before != entry:
            kept[name] = entry
    there = {package.removeprefix(PREFIX) for package in installed} | versions.keys() | ready.keys()
    return Plan(frozenset(there - target.keys() - held), tuned, fresh, idle, kept)
