"""What procd lists, against what is known of the services: notifications get lost while ubusd is away. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from isdf.formats.assignment import PREFIX

from .notes import Service


def dead(services: Iterable[Service], instances: dict[str, dict]) -> Iterator[tuple[Service, int | None]]:
    """Those of `services` that should run and that procd does not start again, with their exit status."""
    for service in services:
        found = instances.get(PREFIX + service.name, {})
        # It forgets `respawn` when it gives up.
        alive = found.get("running") or found.get("respawn")
        if service.state in ("starting", "running") and not alive:
            yield service, found.get("exit_code")


def surplus(instances: dict[str, dict], known: Container[str]) -> list[str]:
    """The names of services that procd has and that should not be there: it has them, and they are not `known`."""
    return [name.removeprefix(PREFIX) for name in instances if name.removeprefix(PREFIX) not in known]
