"""The agent of a router that is not enrolled yet: it tries to be, and says on ubus what it waits for."""

from __future__ import annotations

import time

from isdf import __version__
from isdf.errors import InvalidError, IsdfError
from isdf.log import Log
from isdf.loop import Loop

from . import bus as buses
from .config import Config, Paths
from .delivery.identity import Identities, Identity
from .delivery.joining import Joining
from .life import Life

log = Log(__name__)

_NO_CLAIM = (
    "this router is not enrolled, and has no claim code: put 'option manager' and 'option claim' into "
    "/etc/config/isdf, or run 'isdf-agent enroll URL CODE'"
)
_NO_LINE = (
    "this router is enrolled, and nobody told it what its line carries: put the options down, up, base_down and "
    "base_up (kbit/s) into the section 'line' of /etc/config/isdf"
)


class Newcomer:
    """`identity` is there only where the line is not known. `run()` serves until SIGTERM, or until it is enrolled."""

    def __init__(
        self, config: Config, paths: Paths, bus: buses.Connection, identities: Identities, identity: Identity | None
    ) -> None:
        self._config, self._bus, self._identity = config, bus, identity
        self._loop, self._started = Loop(), time.time()
        self._life = Life(self._loop)
        self._joining = Joining(self._loop, config, paths, identities, identity, self._life.hand_over)

    def run(self) -> bool:
        """Whether another agent must take over, because the router is somebody now."""
        self._bus.attach(self._loop)
        buses.publish_agent(self._bus, self)
        self._joining.start()
        if not self._joining.error and (error := self._waits_for()):  # what failed, it has said itself
            log.warning("%s", error)
        another = self._life.run()
        self._joining.stop()
        self._bus.close()
        return another

    def status(self) -> dict:
        identity, error = self._identity, self._joining.error or self._waits_for()
        return {
            "agent": __version__,
            "enrolled": identity is not None,
            "device": identity.device if identity else None,
            "manager": identity.manager if identity else self._config.manager or None,
            "insecure": self._config.insecure or bool(identity and identity.insecure),
            "enrolment_error": error.as_dict() if error else None,
            "since": self._started,
        }

    def pull(self) -> None:
        self._joining.start()

    def interface_changed(self) -> None:
        self._joining.interface_changed()

    def _waits_for(self) -> IsdfError | None:
        if self._joining.busy:
            return None
        return InvalidError(_NO_LINE if self._identity else _NO_CLAIM)
