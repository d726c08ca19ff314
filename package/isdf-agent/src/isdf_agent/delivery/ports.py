"""What delivery needs of its neighbours.

A `done` gets None, or a sentence that says why not; it may be called at once.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.path import Path
from isdf.protocol import Protocol

Done = Callable[[str | None], None]


class Services(Protocol):
    """The services of this router; `isdf_agent.services` runs them under procd."""

    on_failure: Callable[[str, str], None]
    """Called with the name and the reason when a service that was ready is given up."""

    def start(self, name: str, version: str, config: dict, done: Done) -> None:
        """Start `name`, or exchange its process where one runs; `done(None)` when it is ready."""

    def reconfigure(self, name: str, config: dict, done: Done) -> None:
        """Hand a running service another configuration; where it cannot take it, the last good one is in force again.

        `done(None)` when it is ready. A start or a configuration that is still waited for ends with a sentence.
        """

    def stop(self, name: str, done: Done) -> None:
        """End `name` and all that it has on the line; one that does not run is no error."""

    def hold(self, name: str, version: str, config: dict, done: Done) -> None:
        """End `name`, too, and list it as stopped."""

    def listing(self) -> dict[str, dict]:
        """`{"version", "state", "since", "error"}` of each service that was started or held and not stopped since.

        `state` is one of "starting", "running", "failed", "stopped".
        """

    def last_words(self, name: str, done: Callable[[tuple[int | None, str | None]], None]) -> None:
        """How the process of `name` ended since it was started last (None: it did not), and what it printed last."""


class Installer(Protocol):
    """A package manager; opkg here, apk from OpenWrt 25.12 on."""

    def prepare(self, done: Callable[[None], None]) -> None:
        """Before all else: nothing that an agent before this one began is under way any more."""

    def installed(self) -> dict[str, str]:
        """Version of each installed package of a service by the package's name."""

    def install(self, packages: dict[str, tuple[str, Path]], done: Callable[[dict[str, str]], None]) -> None:
        """Install each package's (version, file), over any other version; `done({package: why it is not there})`."""

    def remove(self, packages: list[str], done: Callable[[dict[str, str]], None]) -> None:
        """Remove packages; `done({package: why it is still there})`. One that is not installed is no error."""
