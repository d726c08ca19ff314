"""Delivery as a whole: when to pull, what a pull brought, what is carried out, what is reported.

Read this first. `push` and `schedule` say when, `pull` (a child process) fetches what `trusted` accepts, `rollout`
carries it out and keeps it in the `journal`, `reporter` tells the manager.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from isdf.errors import FormatError, IsdfError, UnavailableError, from_dict
from isdf.log import Log
from isdf.loop import Loop, Timer
from isdf.path import Path
from isdf.value import dataclass

from ..config import Config, Paths
from . import way
from .children import Children, outcome
from .clock import Clock
from .identity import Identities, Identity
from .installer import Opkg
from .joining import lock
from .journal import Journal, Received
from .ports import Installer, Services
from .push import PushSocket
from .reporter import Post, Reporter
from .rollout import Rollout
from .schedule import Schedule

log = Log(__name__)

Fetch = Callable[[dict, Callable[[dict], None]], None]
"""Runs `pull` with its parameters and calls back with its result."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs of the router, as words of a command line."""

    opkg: tuple[str, ...] = ("opkg",)
    usign: tuple[str, ...] = ("usign",)


class Delivery:
    """`start()` it once; then it is all events. `on_pull_started` is called with the reason when a pull begins,
    `on_settled` when all has been done that an assignment wants."""

    LISTEN_AGAIN = 10.0  # seconds between tries to have the port of the pushes

    def __init__(
        self, loop: Loop, config: Config, paths: Paths, identity: Identity, services: Services, *,
        tools: Tools | None = None, installer: Installer | None = None, clock: Clock | None = None, version: str = "",
        fetch: Fetch | None = None, post: Post | None = None,
    ) -> None:  # fmt: skip
        self._loop, self._config, self._paths, self._tools = loop, config, paths, tools or Tools()
        self._identity, self._identities = identity, Identities(paths.flash)
        self._version, self._started = version, time.monotonic()
        self._fetch = fetch or self._spawn_pull
        self._clock = clock or Clock()
        self.journal = Journal(paths.flash)
        installer = installer or Opkg(loop, program=list(self._tools.opkg), root=paths.root, folder=paths.run / "opkg")
        self.rollout = Rollout(loop, services, installer, self.journal, self._clock)
        self.rollout.on_settled = self._settled
        self.rollout.on_known = self._report
        services.on_failure = self.rollout.gave_up
        self._schedule = Schedule(loop, config.pull_interval, self._pull)
        self._reporter = Reporter(loop, post or self._spawn_report)
        self._push: PushSocket | None = None
        self._deaf: Timer | None = None  # until the next try to hear pushes
        self._timeline: dict[str, int] = {}
        self.last_timeline: dict[str, int] = {}
        self._pushed_at = 0
        self._error: IsdfError | None = None
        self._reported: dict | None = None
        self._last_contact: float | None = None
        self._ends: list[str] | None = None
        self._ways: dict[str, str | None] = {}  # our addresses by those of others, for the last pull
        self._vouched: dict[str, str] = {}
        self._children = Children(loop)
        self._settling = False
        self.on_pull_started: Callable[[str], None] = lambda reason: None
        self.on_settled: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Finish what a crash interrupted, let run what should run, and pull."""
        self._listen()
        self.rollout.settle(done=lambda: self._schedule.asked("start"))

    def _listen(self) -> None:
        """Hear pushes; while somebody else has the port, such as a service, try again and again."""
        port = self._config.push_port
        try:
            self._push = PushSocket(self._loop, self._identity.device_key, port, self._on_push, self._clock)
        except OSError as error:
            if self._deaf is None:
                log.error("pushes are not heard, because UDP port %s cannot be had: %s", port, error.strerror or error)
            self._deaf = self._loop.after(self.LISTEN_AGAIN, self._listen)
            return
        if self._deaf is not None:
            log.info("pushes are heard on UDP port %s now", port)
        self._deaf = None
        self._set_floor()

    def pull(self, reason: str = "asked") -> None:
        """Pull now; where a pull runs already, one follows it."""
        self._schedule.asked(reason)

    def interface_changed(self) -> None:
        """Pull now if the manager does not know any more at which address it can push to us, or if the last pull met
        nobody and there is another way now.

        An interface tells a lot (each advertisement of an IPv6 router), and a million routers must not pull each time.
        """
        if way.is_another(self._ways):
            self._schedule.moved()

    @property
    def busy(self) -> bool:
        """Whether a child process of a pull or a report is there."""
        return self._children.busy

    @property
    def push_port(self) -> int:
        """The UDP port on which pushes are heard."""
        return self._push.port

    def status(self) -> dict:
        """For people: the assignment in force, the last pull, and the timeline (Unix ms) of the last change."""
        received = self.rollout.received
        applied, services = self.rollout.report()
        return {
            "serial": received.assignment.serial if received else None,
            "expires": received.assignment.expires if received else None,
            "applied": applied,
            "services": services,
            "error": self._error.as_dict() if self._error else None,
            "last_contact": self._last_contact,
            "clock_set": self._clock.is_set,
            "pushes_heard": self._push is not None,
            "flash_writes": self.journal.writes,
            "flash_bytes": self.journal.written,
            "timeline": self.last_timeline,
        }

    def stop(self) -> None:
        """Nothing more is begun; what is under way is cut off. The next start goes on from the journal."""
        self._children.stop()
        self._schedule.stop()
        self._reporter.stop()
        self.rollout.stop()
        if self._deaf:
            self._deaf.cancel()
        if self._push:
            self._push.close()

    # -- a pull

    def _on_push(self) -> None:
        self._pushed_at = _now()
        self._schedule.pushed()

    def _pull(self, reason: str) -> None:
        self._timeline = timeline = {"pull_started": _now()}
        self.rollout.mark = lambda step: self._mark(timeline, step)
        if reason == "push":
            self._timeline["push_received"] = self._pushed_at
        self._ways = way.noted([*way.WORLD, *(self._ends or ())[1:]])
        self.on_pull_started(reason)
        received, have = self._received(), self.rollout.packages()
        digest = received.digest if received else None
        parameters = self._about() | {
            # Alone there: a pull of an agent that was killed may still be at work in its own.
            "folder": str(self._paths.run / "pull" / str(time.monotonic_ns())),
            "opkg": list(self._tools.opkg), "usign": list(self._tools.usign), "have": have,
            "status": str(self._paths.at("/usr/lib/opkg/status")),
            "serial": received.assignment.serial if received else 0, "digest": digest,
            "signer": received.signer if received else None,
            "etag": f'"{digest}"' if digest and not self.rollout.missing else None,
            # Somebody waits for what a push brings. Other pulls go where the name leads now.
            "known": self._ends[1] if self._ends and reason == "push" else None,
            "now": self._clock.now(), "unsigned": self._clock.unsigned(), "clock_set": self._clock.is_set,
            "issued": received.assignment.issued if received else 0, "vouched": self._vouched,
        }  # fmt: skip
        self._fetch(parameters, lambda result: self._pulled(reason, result))

    def _received(self) -> Received | None:
        """The assignment in force, if it is of this identity: that of another is nothing to compare a new one with."""
        received = self.rollout.received
        return received if received and received.assignment.device == self._identity.device else None

    def _about(self) -> dict:
        """What every child is told."""
        identity = self._identity
        return {
            "manager": identity.manager, "insecure": self._config.insecure or identity.insecure,
            "device": identity.device, "device_key": identity.device_key.hex(), "keys": str(self._paths.flash / "keys"),
        }  # fmt: skip

    def _pulled(self, reason: str, result: dict) -> None:
        before = self.rollout.received
        try:
            received, staged, good = self._brought(reason, result)
        except Exception:  # a fault of ours must not end all pulls
            log.exception("what the pull (%s) brought is not taken", reason)
            self._schedule.ended(False)
            return

        def settled() -> None:
            self._settling = False
            try:
                self._set_floor()
                self._report(always=reason in ("push", "asked"))
            finally:
                self._schedule.ended(good, result.get("retry_after"))

        self._settling = True
        # What failed is tried again by hand, or by a push that brings nothing else; a push that sells one service must
        # not wait for another that failed before.
        same = received is None or (before and before.assignment.services == received.assignment.services)
        eager = reason == "asked" or (reason != "interval" and same)
        self.rollout.settle(received, staged, eager=eager and good, done=settled)

    def _brought(self, reason: str, result: dict) -> tuple[Received | None, dict[str, Path], bool]:
        """A new assignment, the files of its packages by SHA-256, and whether all went well."""
        names = {"request": "request_sent", "verified": "assignment_verified", "fetched": "packages_fetched"}
        self._timeline |= {names.get(k, k): v for k, v in result.get("timeline", {}).items()}
        received = None
        if "time" in result:
            self._clock.tell(result["time"])
        if "keys" in result:
            self._keep_keys(Path(result["keys"]))
        if result["status"] == "unchanged" and self.rollout.received.assignment.expires <= self._clock.now():
            result = _failed("the manager says that nothing is new, although this router's assignment has expired")
        if result["status"] == "fetched":
            try:
                received, last = Received.parse(Path(result["assignment"]).read_bytes()), self.rollout.received
                if last and last.signer != received.signer:
                    self._clock.forget()
                entries = received.assignment.services
                self._vouched = {entry.signature: entry.catalogue_message().decode() for entry in entries}
            except (OSError, FormatError) as error:
                result = _failed(f"what the pull fetched is not there any more: {error}")
        if result["status"] == "failed":
            self._error = from_dict(result["error"])
            log.error("pull (%s): %s", reason, self._error)
        else:
            self._error = None
            self._last_contact = self._clock.now()
            self._reporter.reachable()
        good = result["status"] != "failed"
        if ends := result.get("ends"):
            self._ends, self._ways = ends if good else self._ends, {ends[1]: ends[0]}
        staged = {sha256: Path(path) for sha256, path in result.get("packages", {}).items()}
        return received, staged, good

    def _keep_keys(self, path: Path) -> None:
        try:
            held = lock(self._paths, wait=False)
            try:
                if self._identities.keep_keys(self._identity, path.read_bytes()):
                    log.info("the manager has new keys")
            finally:
                os.close(held)
        except BlockingIOError:
            log.info("this router is being enrolled; the next pull fetches the manager's new keys again")
        except OSError as error:
            log.error("the manager's new keys are not kept, so the next pull fetches them again: %s", error)

    def _settled(self, changed: bool) -> None:
        self.on_settled()
        self._set_floor()
        if changed and not self._settling:  # what a pull brought is reported when it is carried out
            self._report()

    def _mark(self, timeline: dict[str, int], step: str) -> None:
        """A service may be ready while the next pull runs: what it took is of the pull that brought it."""
        timeline[step] = _now()
        self.last_timeline = timeline

    def _set_floor(self) -> None:
        if self._push and (received := self._received()):
            self._push.set_floor(received.assignment.push_floor)

    # -- reports

    def _report(self, *, always: bool = False) -> None:
        """Tell the manager what runs, where it was told otherwise before, or (`always`) where somebody waits for it."""
        applied, services = self.rollout.report()
        received = self._received()
        refused = self._error if self._error and not isinstance(self._error, UnavailableError) else None
        report = {
            "serial": received.assignment.serial if received else 0,
            "applied": applied and refused is None,
            "services": services,
            "error": refused.as_dict() if refused else None,
        }
        if always or report != self._reported:
            self._reported = report
            about = {"agent": self._version, "uptime": round(time.monotonic() - self._started)}
            self._reporter.send(report | about)

    # -- children

    def _spawn_pull(self, parameters: dict, done: Callable[[dict], None]) -> None:
        def ended(status: int, output: bytes) -> None:
            done({"status": "failed"} | outcome(output, f"the pull ended without a result (status {status})"))

        self._children.spawn("pull", parameters, ended)

    def _spawn_report(self, report: dict, done: Callable[[int, str], None]) -> None:
        def ended(status: int, output: bytes) -> None:
            done(status, output.decode(errors="replace").strip() or f"its process ended with status {status}")

        self._children.spawn("report", self._about() | {"report": report}, ended)


def _failed(sentence: str) -> dict:
    return {"status": "failed", "error": UnavailableError(sentence).as_dict()}


def _now() -> int:
    return time.time_ns() // 1_000_000
