"""What `services` needs of its neighbours."""

from __future__ import annotations

from collections.abc import Callable

from isdf.protocol import Protocol


class Procd(Protocol):
    """OpenWrt's process supervisor; `done` gets None, or a sentence that says why not."""

    def set(self, name: str, instance: dict, done: Callable[[str | None], None]) -> None:
        """Start the procd service `name` with one instance, or exchange it where the description differs."""

    def delete(self, name: str, done: Callable[[str | None], None]) -> None:
        """End it; a service that is not there is no error."""

    def list(self, done: Callable[[dict[str, dict] | None], None]) -> None:
        """The instance of each of our procd services by its name: `{"running", "pid", "env", "exit_code", ...}`.

        None where procd does not answer.
        """


class Owners(Protocol):
    """What of `policy` follows the life of a service: rounds of asking, and the end."""

    def begin(self, owner: str) -> None: ...

    def ready(self, owner: str) -> None: ...

    def abort(self, owner: str) -> None: ...

    def withdraw(self, owner: str) -> None: ...
