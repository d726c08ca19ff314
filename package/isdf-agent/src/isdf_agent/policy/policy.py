"""Who may change what: the verbs of the control API over leases, and nothing that touches a kernel.

Every verb makes the next `Held`, checks it, compiles it, hands the difference to the dataplane, and only then believes
it; an error on the way leaves everything as it was. Everything is owned by a service and goes with it.

A *round of asking* makes restart, upgrade and crash one case: `begin` opens it, the owner asks for all that it wants,
and `ready` ends what it did not ask for again, in one transaction; `abort` brings back what was there at `begin`.
Until then what the owner had stays, but what it asks for is not counted beside it (see `isdf_agent.policy.rounds`).

Ends are times of the monotonic clock, which goes on for a new agent and is set by nobody; Unix times are for people.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from isdf.errors import InvalidError, IsdfError, KernelError, LimitError, NotFoundError
from isdf.log import Log
from isdf.model import Flow, Lease, Line, parse_name
from isdf.value import replace

from ..dataplane.port import Dataplane, difference
from . import hosts, report
from . import ledger as ledgers
from .grants import Grant, Grants
from .leases import ClassLease, Compiled, Held, Key, MemberLease, compile_state, free_id, member_id
from .line import check_line, left_of, rate_of
from .rounds import Rounds, asking, back

log = Log(__name__)
MAX_MEMBERS = 4096  # of all owners
RETRY = 10.0  # seconds until what was refused is tried again


class Policy:
    """`grants(service)` tells what a service may, `places(service)` its priority and its position; `clock` gives
    monotonic seconds, `wall` Unix seconds. `restore()` comes before all else."""

    def __init__(
        self,
        dataplane: Dataplane,
        line: Line,
        ledger: ledgers.Ledger,
        grants: Callable[[str], Grant],
        places: Callable[[str], tuple[int, int] | None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._dataplane, self._line, self._ledger, self._clock, self._wall = dataplane, line, ledger, clock, wall
        self._grants = Grants(grants, places)
        self._held = Held()
        self._compiled = Compiled()
        self._rounds = Rounds()
        self._unsaved = False
        self._refused: dict[str, Callable[[], Held]] = {}  # by owner: the end of a round, or of all, to be tried again
        self._fault: KernelError | None = None
        self.on_change: Callable[[], None] = lambda: None  # what is held is another now
        self.on_fault: Callable[[], None] = lambda: None  # the kernel refused something, and may want repair

    # -- the verbs of services

    def add_class(self, owner: str, name: str, rate, ceil=None, up=None, up_ceil=None) -> dict:
        """A class guaranteed `rate` down and `up` (default: `rate`) up, and at most its ceils (default: its rates).

        Asked again with other rates it changes in place. Errors: `InvalidError`, `NotPermittedError`, `LimitError`,
        `LineFullError`, `KernelError`. The answer has the rates in bit/s.
        """
        key = owner, parse_name(name, "class")
        rate = rate_of(self._line, rate, ceil, up, up_ceil)
        limit = self._grants.limit(owner, "add_class")
        kept = self._rounds.kept(self._held, owner).classes
        own = [c.rate for k, c in kept.items() if k[0] == owner and k != key]
        limit.check_number(owner, ("class", "classes"), len(own))
        limit.check_rate(owner, [*own, rate])
        check_line(self._line, [*own, *self._rounds.spoken_for(self._held, owner)], rate)
        known = self._held.classes.get(key)
        if known is None:
            lease = ClassLease(owner, name, free_id(self._held.classes.values()), rate, self._wall())
        else:
            lease = replace(known, rate=rate)
        if lease != known:
            self._commit(replace(self._held, classes={**self._held.classes, key: lease}))
        self._ask(owner, asking(name))
        return {"class": name, "rate": rate.down, "ceil": rate.down_ceil, "up": rate.up, "up_ceil": rate.up_ceil}

    def remove_class(self, owner: str, name: str) -> None:
        """The inverse; the members of the class go with it. `NotFoundError` where the owner has no such class."""
        key = self._class(owner, name)
        self._commit(self._held.without({key}))
        self._save()

    def add_class_member(self, owner: str, name: str, flow: Flow | dict, duration: float | None = None) -> Lease:
        """Traffic that matches `flow` is in class `name`, for `duration` seconds (None: until undone).

        The lease's `active` is False while other services' classes go before it for all of its traffic.
        """
        flow = Flow.parse(flow)
        if flow.device is not None:
            raise InvalidError("a member of a class takes no device: give its local address instead")
        if duration is not None and not (type(duration) in (int, float) and 0 < duration < 1e9):
            raise InvalidError(f"duration {str(duration)[:64]!r} is not a number of seconds above 0")
        key = self._class(owner, name)
        limit = self._grants.limit(owner, "add_class_member")
        lease_id, now = member_id(owner, name, flow), self._clock()
        kept = self._rounds.kept(self._held, owner).members.values()
        limit.check_number(owner, ("member", "members"), sum(m.owner == owner and m.id != lease_id for m in kept))
        known = self._held.members.get(lease_id)
        if known is None:
            if len(self._held.members) >= MAX_MEMBERS:
                raise LimitError(f"the router has its {MAX_MEMBERS} members of classes")
            names = hosts.wanted(self._held)
            if flow.host and flow.host not in names and len(names) >= hosts.MAX_HOSTS:
                raise LimitError(f"the router follows its {hosts.MAX_HOSTS} host names")
        until = None if duration is None else now + duration
        member = MemberLease(lease_id, *key, flow, known.since if known else self._wall(), until)
        if member != known:
            self._commit(replace(self._held, members={**self._held.members, lease_id: member}))
        self._ask(owner, lease_id)
        return report.lease(member, self._compiled, self._unix)

    def remove_class_member(self, owner: str, lease_id: str) -> None:
        """The inverse; `NotFoundError` where the owner has no such lease."""
        if not isinstance(lease_id, str) or not lease_id:
            raise InvalidError("argument 'lease' is the text that add_class_member answered with")
        member = self._held.members.get(lease_id)
        if member is None or member.owner != owner:
            raise NotFoundError(f"there is no lease {lease_id[:64]!r}; list names those that there are")
        self._commit(self._held.without(set(), {lease_id}))
        self._save()

    # -- the life of owners

    def begin(self, owner: str) -> None:
        """A round opens: the owner will ask for all that it wants. An open one starts over."""
        held = self._held
        if owner in self._refused:
            held = self._refused.pop(owner)()
            self._rounds.close(owner)
        self._rounds.open(owner, held)
        self._unsaved = True
        self._save()

    def ready(self, owner: str) -> None:
        """The round closes: what `owner` has and did not ask for in it ends, in one transaction. None open: nothing."""
        if self._rounds.is_open(owner) and owner not in self._refused:
            self._commit(self._rounds.kept(self._held, owner))
            self._close(owner)

    def abort(self, owner: str) -> None:
        """The round closes the other way: what `owner` had when it opened, it has again. None open: nothing.

        What the kernel refuses now, `tick` tries again.
        """
        before = self._rounds.before(owner)
        if before is None:
            self._close(owner)
        else:
            self._finally(owner, lambda: back(self._held, before, owner))

    def withdraw(self, owner: str) -> None:
        """Everything of `owner` goes, in one transaction. What the kernel refuses now, `tick` tries again."""
        self._finally(owner, lambda: self._without(owner))

    def owners(self) -> set[str]:
        """Who has anything."""
        return {owner for owner, _ in self._held.classes}

    def settle(self) -> None:
        """Priorities or positions of services have changed: settle claims that meet anew."""
        self._commit(self._held)

    def repair(self) -> None:
        """Make the kernel again what it should be, whatever somebody made of it; `KernelError`."""
        try:
            self._dataplane.adopt(self._line, self._compiled.state)
        except KernelError as error:
            self._fault = error
            raise
        self._fault = None

    # -- names and time

    def learn(self, host: str, address: str, ttl: float) -> None:
        """A DNS answer gave `host` (lower case, no last dot) this address for `ttl` seconds."""
        held = hosts.learned(self._held, host, address, ttl, self._clock())
        if held is not self._held:  # most answers that pass are of names that nobody wants
            self._commit(held)
            self._save()

    def hosts_wanted(self) -> set[str]:
        """The names, and patterns `*.domain`, that members of classes want to follow."""
        return hosts.wanted(self._held)

    def knows(self, host: str) -> bool:
        """Whether addresses of `host` are known."""
        return bool(self._held.addresses.get(host))

    def tick(self) -> float | None:
        """End what is over; the answer is in how many seconds to call again (None: nothing has an end).

        What is refused again of one owner is logged, and is no reason to end nothing of the others.
        """
        now = self._clock()
        try:
            for owner in list(self._refused):
                try:
                    self._carry_out(owner)
                except IsdfError as error:
                    log.error("what service %s has on the line stays as it is for now: %s", owner, error)
            over = {m.id for m in self._held.members.values() if m.until is not None and m.until <= now}
            self._commit(hosts.aged(self._held.without(set(), over) if over else self._held, now))
        finally:
            self._save()
        ends = [m.until for m in self._held.members.values() if m.until is not None]
        address_end = hosts.next_end(self._held, now)
        if address_end is not None:
            ends.append(address_end)
        if self._refused:
            ends.append(now + RETRY)
        return max(0.0, min(ends) - now) if ends else None

    def restore(self) -> None:
        """At start: believe the ledger and make the kernel agree with it, changing only what differs.

        A ledger that this agent cannot read counts as empty, and the kernel is made empty too.
        """
        state = self._ledger.load()
        held, asked = Held(), {}
        if state is not None:
            try:
                held, asked = ledgers.parse(state)
            except IsdfError as error:
                log.error("%s; starting with nothing held", error)
        compiled = compile_state(held, self._grants.rank)
        try:
            self._dataplane.adopt(self._line, compiled.state)
        except KernelError as error:
            # Fail open: the agent must run to be told more. It is tried again, and in any case by the next change.
            log.error("%s; nothing is shaped until that is mended", error)
            self._fault = error
            self.on_fault()
        self._held, self._compiled, self._rounds = held, compiled, Rounds(asked)
        down, up = left_of(self._line, [c.rate for c in held.classes.values()])
        if min(down, up) < 0:
            log.warning("classes from before the restart want more than the line has now; it is smaller than it was")
        self._unsaved = True
        self._save()

    # -- what there is

    def list(self, owner: str | None = None) -> dict:
        """The classes, with their members, of `owner` (None: of all, and each tells its owner)."""
        return report.classes(self._held, self._compiled, owner, self._unix)

    def status(self) -> dict:
        """The line in bit/s, what is left of it, what each class has carried since it was made, and as `error` why the
        kernel is not as it should be."""
        counters, error = {}, self._fault
        try:
            counters = self._dataplane.counters()
        except KernelError as unreadable:
            error = error or unreadable
        return report.status(self._held, self._line, counters) | ({"error": error.as_dict()} if error else {})

    # -- inside

    def _commit(self, held: Held) -> None:
        """Put `held` in force; `settle` comes with the same one, because ranks may have changed."""
        compiled = compile_state(held, self._grants.rank)
        change = difference(self._compiled.state, compiled.state)
        if change:
            try:
                self._dataplane.apply(change)
            except KernelError:
                self.on_fault()
                raise
            self._fault = None  # a dataplane that failed before has made all of it anew
        changed = held is not self._held
        self._held, self._compiled = held, compiled
        if changed:
            self._unsaved = True
            self.on_change()

    def _without(self, owner: str) -> Held:
        gone = {key for key in self._held.classes if key[0] == owner}
        return self._held.without(gone) if gone else self._held

    def _finally(self, owner: str, held: Callable[[], Held]) -> None:
        """Put in force what ends a round or all of an owner, now or as soon as the kernel takes it."""
        self._refused[owner] = held
        try:
            self._carry_out(owner)
        except IsdfError as error:
            log.error("what service %s has on the line stays as it is for now: %s", owner, error)
            self.on_change()

    def _carry_out(self, owner: str) -> None:
        self._commit(self._refused[owner]())
        del self._refused[owner]
        self._close(owner)

    def _save(self) -> None:
        """Once for each verb, at its end."""
        if self._unsaved:
            self._ledger.save(ledgers.dump(self._held, self._rounds.as_dict()))
            self._unsaved = False

    def _ask(self, owner: str, what: str) -> None:
        self._unsaved |= self._rounds.ask(owner, what)
        self._save()

    def _close(self, owner: str) -> None:
        self._unsaved |= self._rounds.close(owner)
        self._save()

    def _unix(self, end: float) -> float:
        """The Unix time of a time of the monotonic clock, for people."""
        return round(self._wall() + end - self._clock(), 1)

    def _class(self, owner: str, name: str) -> Key:
        key = owner, parse_name(name, "class")
        if key not in self._held.classes:
            raise NotFoundError(f"there is no class {name!r}; add_class makes it")
        return key
