"""`isdf-agent enroll URL CODE`: an enrolment at the command line, done at once."""

from __future__ import annotations

import os
import subprocess

from isdf.errors import FailedError, InvalidError, from_dict
from isdf.formats import claim as claims
from isdf.path import Path

from .config import Paths, load, parse_manager
from .delivery import enroll as enrolment
from .delivery.children import DEADLINE
from .delivery.identity import Identities
from .delivery.joining import lock, told

INIT = "/etc/init.d/isdf-agent"
# Nothing that may have reached the manager is forgotten: it takes a code twice only with the same device key.
_FINAL = {"not-permitted", "conflict", "bad-signature", "bad-format", "refused"}


def enroll(paths: Paths, url: str, code: str, *, insecure: bool = False, usign: tuple[str, ...] = ("usign",)) -> str:
    """A sentence that says what was done; `IsdfError` says why it was not.

    What was cut off or met no answer, the agent goes on with at its next start, in the place of a claim code in its
    configuration as that is now.
    """
    identities, overrules, allowed = Identities(paths.flash), None, False
    try:
        config = load(paths.config)
        allowed = config.insecure
        overrules = claims.parse(config.claim).digest if config.claim else None
    except InvalidError:
        pass  # what is wrong with the configuration, the agent says
    manager = parse_manager(url, insecure=insecure or allowed, how="--insecure")
    try:
        held = lock(paths, wait=True)
        try:
            begun = identities.begin(manager, code, insecure=insecure, overrules=overrules)
            result = enrolment.attempt(told(begun, paths, allowed, usign), DEADLINE)
            if "error" not in result:
                identities.complete(begun, result["device"], result["line"], result["keys"].encode())
            elif result["error"]["type"] in _FINAL:
                identities.abandon()
        finally:
            os.close(held)
    except OSError as error:
        where = error.filename or paths.flash
        sentence = f"the enrolment could not use {where}: {error.strerror or error}"
        raise FailedError(f"{sentence}; run it again, what was begun is kept") from None
    if "error" in result:
        raise from_dict(result["error"])
    return f"this router is device {result['device']} of {manager} now; {_restart(paths)}"


def _restart(paths: Paths) -> str:
    if paths.root != Path("/") or not os.access(INIT, os.X_OK):
        return "its agent knows when it is started again"
    done = subprocess.run([INIT, "restart"], stdin=subprocess.DEVNULL)
    return "its agent was restarted" if done.returncode == 0 else f"{INIT} did not restart its agent"
