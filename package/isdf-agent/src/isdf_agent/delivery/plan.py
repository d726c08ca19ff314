"""What differs between what should be and what is; the least that makes them equal. Pure."""

from __future__ import annotations

from isdf.formats.assignment import Entry
from isdf.value import dataclass

from .installer import PREFIX
from .journal import State, identity


@dataclass(frozen=True, slots=True)
class Present:
    """What is: `installed` packages and their versions, `listing` of the services as in `ports.Services`, what the
    journal knows (`state`), the entries that are being tried by name, and whose process did not end (`stuck`)."""

    installed: dict[str, str]
    listing: dict[str, dict]
    state: State
    trying: dict[str, Entry]
    stuck: set[str]

    def has(self, entry: Entry) -> bool:
        """Whether the package of `entry` is the one that is installed."""
        same = self.state.installed.get(entry.name) == entry.sha256
        return same and self.installed.get(entry.package) == entry.version

    def known(self) -> set[str]:
        """Services of which there is anything."""
        packages = {package.removeprefix(PREFIX) for package in self.installed}
        return packages | self.listing.keys() | self.state.running.keys()


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of services to end and remove (`gone`); entries by name to `install`, to `start`, to hand another
    configuration (`tuned`), to lay to rest because the customer wants it so (`held`), and that are as they should be,
    or about to be, but may stand otherwise in the assignment (`kept`)."""

    gone: frozenset[str]
    install: dict[str, Entry]
    start: dict[str, Entry]
    tuned: dict[str, Entry]
    held: dict[str, Entry]
    kept: dict[str, Entry]

    @property
    def empty(self) -> bool:
        return not (self.gone or self.install or self.start or self.tuned or self.held)


def plan(target: dict[str, Entry], left: set[str], present: Present) -> Plan:
    """The way to `target`, leaving the services in `left` as they are."""
    install, start, tuned, held, kept = {}, {}, {}, {}, {}
    state = present.state
    for name, entry in target.items():
        told = present.listing.get(name, {})
        fits = told.get("version") == entry.version
        ready, trying = state.running.get(name), present.trying.get(name)
        if not present.has(entry):
            install[name] = entry
        if name in state.held:
            if not fits or told["state"] != "stopped" or name in install or name in present.stuck:
                held[name] = entry
        elif trying and identity(trying) == identity(entry) and name not in install:
            kept[name] = entry
        elif name in install or not fits or told["state"] != "running":
            start[name] = entry
        elif trying or ready is None or ready.config != entry.config:
            tuned[name] = entry
        elif ready != entry:
            kept[name] = entry
    gone = frozenset(present.known() - target.keys() - left)
    return Plan(gone, install, start, tuned, held, kept)
