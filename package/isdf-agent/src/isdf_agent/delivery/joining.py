"""How a router comes to its identity: it tries until its manager has taken it in.

The claim code comes from /etc/config/isdf (a factory image), or from an enrolment that somebody began at the command
line and that was cut off. A code for another manager, or another code than that of the identity, is an enrolment anew;
the identity before stays in force until it is complete. Tries are spread, like pulls: a thousand routers that got their
power back at once do not come all at once a second time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from isdf.errors import FailedError, IsdfError, from_dict
from isdf.formats import claim as claims
from isdf.log import Log
from isdf.loop import Loop, Timer

from ..config import Config, Paths
from . import way
from .children import Children, outcome
from .identity import Enrolment, Identities, Identity
from .spread import doubled, uniform

log = Log(__name__)


def needed(config: Config, identity: Identity | None, identities: Identities) -> Enrolment | None:
    """The enrolment that is to be done, begun on flash; None if none is. `InvalidError` for a mistyped claim code."""
    digest = claims.parse(config.claim).digest if config.claim else None
    begun = identities.under_way()
    if begun and digest in (None, begun.identity.overrules):
        return begun  # somebody's at the command line
    if digest is None:
        return None
    if identity and (digest == identity.overrules or (digest, config.manager) == (identity.claim, identity.manager)):
        identities.abandon()
        return None
    return identities.begin(config.manager, config.claim)


def lock(paths: Paths, *, wait: bool) -> int:
    """A descriptor that keeps others from enrolling this router until it is closed; `BlockingIOError` unless `wait`."""
    paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(paths.run / "enrol.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(fd)
        raise
    return fd


def told(enrolment: Enrolment, paths: Paths, insecure: bool, usign: tuple[str, ...]) -> dict:
    """What `enroll.exchange` is told of `enrolment`."""
    identity = enrolment.identity
    return {
        "manager": identity.manager, "code": enrolment.code, "insecure": insecure or identity.insecure,
        "device_key": identity.device_key.hex(), "keys": str(paths.flash / "keys"), "usign": list(usign),
        "run": str(paths.run),
    }  # fmt: skip


class Joining:
    """`joined()` is called when an identity other than `identity` has come into force."""

    FIRST_RETRY, LAST_RETRY = 5.0, 1800.0  # seconds; doubled with each failure

    def __init__(
        self, loop: Loop, config: Config, paths: Paths, identities: Identities, identity: Identity | None,
        joined: Callable[[], None], *, usign: tuple[str, ...] = ("usign",),
        uniform: Callable[[float, float], float] = uniform,
    ) -> None:  # fmt: skip
        self._loop, self._config, self._paths, self._usign = loop, config, paths, usign
        self._identities, self._identity, self._joined = identities, identity, joined
        self._uniform = uniform
        self._children = Children(loop)
        self._timer: Timer | None = None
        self._failures = 0
        self._left_alone = False  # the manager asked for the pause that runs
        self._ways: dict[str, str | None] = {}  # when the last try began
        self.error: IsdfError | None = None  # why the enrolment that is wanted is not done

    @property
    def busy(self) -> bool:
        """Whether an answer of the manager is waited for."""
        return self._children.busy

    def start(self) -> None:
        """Try, now and again, if there is something to be done."""
        if self.busy:
            return
        if self._timer:
            self._timer.cancel()
        self._ways = way.noted()
        try:
            held = lock(self._paths, wait=False)
        except BlockingIOError:
            self._again(FailedError("somebody enrols this router at the command line"))
            return
        except OSError as error:
            self._again(FailedError(f"{self._paths.run} cannot be used: {error.strerror}"))
            return
        try:
            self._attempt(held)
        except OSError as error:
            os.close(held)
            self._again(FailedError(f"the enrolment cannot be kept on flash: {error.strerror or error}"))
        except IsdfError as error:
            os.close(held)
            self.error = error  # a mistyped code does not get better by itself
            log.error("option claim: %s", error)

    def interface_changed(self) -> None:
        """Try now what waits for its next try, if there is another way out and the manager did not ask for a pause.

        An interface tells a lot (each advertisement of an IPv6 router).
        """
        if self._timer and self._timer.active and not self._left_alone and way.is_another(self._ways):
            self.start()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._children.stop()

    def _attempt(self, held: int) -> None:
        found = self._identities.load()
        identity = found[0] if found else None
        if identity != self._identity:
            os.close(held)
            self._joined()
            return
        enrolment = needed(self._config, identity, self._identities)
        if enrolment is None:
            os.close(held)
            self.error = None
            return

        def ended(status: int, output: bytes) -> None:
            answer = outcome(output, f"the enrolment ended without a result (status {status})")
            try:
                if "error" not in answer:
                    keys = answer["keys"].encode()
                    self._identities.complete(enrolment, answer["device"], answer["line"], keys)
            except OSError as error:
                answer = {"error": FailedError(f"the flash cannot be written: {error.strerror or error}").as_dict()}
            finally:
                os.close(held)
            if "error" in answer:
                self._again(from_dict(answer["error"]), answer.get("retry_after"))
            else:
                log.info("this router is device %s of %s now", answer["device"], enrolment.identity.manager)
                self._joined()

        self._children.spawn("enroll", told(enrolment, self._paths, self._config.insecure, self._usign), ended)

    def _again(self, error: IsdfError, after: float | None = None) -> None:
        """`after`: for so many seconds the manager asked."""
        self.error, self._left_alone = error, after is not None
        self._failures = 1 if way.is_another(self._ways) else self._failures + 1
        spread = doubled(self.FIRST_RETRY, self._failures, self.LAST_RETRY)
        wait = (after or 0.0) + spread * self._uniform(0.5, 1.5)
        at = f" at {self._config.manager}" if self._config.manager else ""
        log.error("the enrolment%s failed: %s; the next try is in %.0f s", at, error, wait)
        self._timer = self._loop.after(wait, self.start)
