"""What is known of each service, and its note in memory, so that a new agent adopts what never stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable

from isdf.log import Log
from isdf.path import Path
from isdf.value import dataclass, field

log = Log(__name__)


@dataclass(slots=True)
class Service:
    """A service on this router. `state`: starting, running, failed, or stopped (by the customer). `good` is the last
    configuration that it was ready with."""

    name: str
    version: str
    config: dict
    revision: int = 1
    state: str = "starting"
    since: float = field(default_factory=time.time)
    error: str | None = None
    good: dict | None = None


class Notes:
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, services: Iterable[Service]) -> None:
        """A full tmpfs is logged, not raised: who fills it must not thereby keep a service from being ended."""
        beside = self._path.with_suffix(".new")
        notes = [{name: getattr(service, name) for name in Service.__slots__} for service in services]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(notes))
            os.replace(beside, self._path)
        except OSError as error:
            log.error("%s cannot be written (%s); a restart now would start services anew", self._path, error)

    def load(self) -> list[Service]:
        try:
            return [Service(**note) for note in json.loads(self._path.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            log.error("%s cannot be read (%s); services are started anew", self._path, error)
            return []
