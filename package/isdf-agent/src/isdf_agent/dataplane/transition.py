"""From what the nft table has to what it should have, as one script of commands. Pure.

Two ways to know what it has: from the last change (`change_script`), or, at the start of an agent, from the kernel
itself (`Table.read` and `adopt_script`). Nothing that is as it should be is touched, so counters, sets and handles
survive an agent that was killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isdf.value import dataclass, field

from . import ruleset
from .match_shape import Shape
from .ours import TABLE
from .port import BASE, Change, Class, Match, State, after

Map = tuple[Shape, bool]


@dataclass(frozen=True, slots=True)
class Table:
    """What the kernel has: chains with the number of their rules and their fingerprint, elements of maps, counters.

    `ruins`: what somebody else made of our chains and maps that cannot be changed, or cannot even be understood.
    """

    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    ruins: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, objects: Iterable[dict]) -> Table:
        """Of the JSON of `list table` (libnftables-json(5))."""
        table = cls()
        for entry in objects:
            (kind, o), *_ = entry.items()
            if kind == "chain":
                table.chains[o["name"]] = (0, "")
                if tuple(map(o.get, ("hook", "prio", "policy"))) != ruleset.hook_of(o["name"]):
                    table.ruins.add(o["name"])
            elif kind == "rule":
                count, _ = table.chains[o["chain"]]
                table.chains[o["chain"]] = (count + 1, o.get("comment", ""))
            elif kind == "map":
                try:
                    table.maps[o["name"]] = {_key(k): verdict["goto"]["target"] for k, verdict in o.get("elem", ())}
                except (KeyError, TypeError, ValueError):
                    table.ruins.add(o["name"])
            elif kind == "counter":
                table.counters.add(o["name"])
        return table


def change_script(state: State, change: Change, wan: str, buckets) -> list[str]:
    """The commands that carry out `change` on the table of `state`."""
    new = after(state, change)
    old_maps, new_maps = _maps(state.members), _maps(new.members)
    moved = [(m, state.members[m]) for m, _ in change.set_members if m in state.members]
    gone = [(m, state.members[m]) for m in change.remove_members]
    script = []
    for c in change.set_classes:
        known = state.classes.get(c.id)
        if known is None:
            script += ruleset.add_class(c, wan, buckets)
        elif known.label != c.label:
            script += ruleset.fill_chain(f"class_{c.id}", ruleset.class_chain(c.id, wan, buckets), c.label)
    script += [ruleset.add_map(*m) for m in sorted(new_maps - old_maps, key=_order)]
    script += ruleset.elements("delete", moved + gone)
    script += ruleset.elements("add", change.set_members)
    if old_maps != new_maps:
        script += _directions(new_maps, buckets)
    script += [f"delete map {TABLE} {ruleset.map_name(*m)}" for m in sorted(old_maps - new_maps, key=_order)]
    for number in change.remove_classes:
        script += ruleset.remove_class(number)
    return script


def stale_script(table: Table, state: State) -> list[str]:
    """Commands that take from `table` all that leads to classes which `state` does not have."""
    keep = {f"class_{number}" for number in (BASE, *state.classes)}
    script = []
    for name, found in sorted(table.maps.items()):
        script += _raw_elements("delete", name, {k: t for k, t in found.items() if t not in keep})
    for chain in sorted(table.chains):
        if chain.startswith("class_") and chain not in keep:
            script += [f"delete chain {TABLE} {chain}"]
    for counter in sorted(table.counters):
        if "class_" + counter.partition("_")[2] not in keep:
            script.append(f"delete counter {TABLE} {counter}")
    return script


def adopt_script(table: Table | None, state: State, wan: str, buckets) -> list[str]:
    """The commands that make the table what it should be for `state`; empty when it is. None: there is no table.

    `stale_script` was carried out before it.
    """
    script = [] if table else [f"add table {TABLE}"]
    table = table or Table()
    wanted_maps = _maps(state.members)
    labels = {f"class_{c.id}": c.label for c in (Class(BASE, "base", None), *state.classes.values())}
    chains = ruleset.base_chains(wan, buckets)
    chains |= {name: ruleset.direction_chain(wanted_maps, name == "up", buckets) for name in ("up", "down")}
    chains |= {name: ruleset.class_chain(int(name[6:]), wan, buckets) for name in labels}
    counters = [f"{way}_{name[6:]}" for name in labels for way in ("up", "down")]
    script += [f"add counter {TABLE} {name}" for name in counters if name not in table.counters]
    # All chains before any rule: rules jump to chains.
    script += [ruleset.add_chain(name) for name in chains if name not in table.chains]
    names = {ruleset.map_name(*m): m for m in wanted_maps}
    script += [ruleset.add_map(*m) for name, m in sorted(names.items()) if name not in table.maps]
    wanted = _elements(state.members)
    for name in sorted(names):
        has, should = table.maps.get(name, {}), wanted.get(name, {})
        script += _raw_elements("delete", name, {k: t for k, t in has.items() if should.get(k) != t})
        script += _raw_elements("add", name, {k: t for k, t in should.items() if has.get(k) != t})
    for name, rules in chains.items():
        if table.chains.get(name) != (len(rules), ruleset.fingerprint(rules, labels.get(name, ""))):
            script += ruleset.fill_chain(name, rules, labels.get(name, ""))
    script += [f"delete map {TABLE} {name}" for name in sorted(table.maps) if name not in names]
    unknown = [name for name in sorted(table.chains) if name not in chains]
    script += [f"flush chain {TABLE} {name}" for name in unknown] + [f"delete chain {TABLE} {name}" for name in unknown]
    return script


def _maps(members: Mapping[Match, int]) -> set[Map]:
    return {ruleset.map_of(match) for match in members}


def _order(m: Map) -> tuple:
    return m[0].rank, m[1]


def _directions(maps: set[Map], buckets) -> list[str]:
    return [
        command
        for name in ("up", "down")
        for command in ruleset.fill_chain(name, ruleset.direction_chain(maps, name == "up", buckets))
    ]


def _elements(members: Mapping[Match, int]) -> dict[str, dict[str, str]]:
    """By map, key and target, as `Table.maps`."""
    found: dict[str, dict[str, str]] = {}
    for match, number in members.items():
        for key in ruleset.keys_of(match):
            found.setdefault(ruleset.map_name(*ruleset.map_of(match)), {})[key] = f"class_{number}"
    return found


def _raw_elements(verb: str, name: str, found: dict[str, str], piece: int = 500) -> list[str]:
    pairs = [f"{key} : goto {target}" for key, target in sorted(found.items())]
    return [
        f"{verb} element {TABLE} {name} {{ {', '.join(pairs[at : at + piece])} }}" for at in range(0, len(pairs), piece)
    ]


def _key(key) -> str:
    """A key of libnftables' JSON as this module writes it."""
    if isinstance(key, dict):
        if "concat" in key:
            return " . ".join(_key(part) for part in key["concat"])
        if "range" in key:
            return "-".join(_key(part) for part in key["range"])
        if "prefix" in key:
            return f"{key['prefix']['addr']}/{key['prefix']['len']}"
    return str(key)
