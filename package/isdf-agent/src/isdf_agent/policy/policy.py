"""Who may change what: the verbs of the control API over leases, and nothing that touches a kernel.

Every verb makes the next `Held`, checks it, compiles it, hands the difference to the dataplane, and only then believes
it; an error on the way leaves everything as it was. Everything is owned by a service and goes with it.

A *round of asking* makes restart, upgrade and crash one case: `begin` opens it, the owner asks for all that it wants,
and `ready` ends what it did not ask for again, in one transaction; `abort` brings back what was there at `begin`.
Until then what the owner had stays, but what it asks for is not counted beside it: the old is on its way out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from isdf.errors import InvalidError, IsdfError, KernelError, LimitError, NotFoundError, NotPermittedError
from isdf.log import Log
from isdf.model import Flow, Lease, Line, parse_name
from isdf.value import replace

from ..dataplane.port import FIRST_ID, LAST_ID, Dataplane, difference
from . import hosts, report
from . import ledger as ledgers
from .grants import UNLIMITED, Grant, Limit
from .leases import ClassLease, Compiled, Held, Key, MemberLease, compile_state, member_id
from .line import check_line, left_of, rate_of

log = Log(__name__)
LOCAL = "local"  # root at the command line or in LuCI
MAX_MEMBERS = 4096  # of all owners


class Policy:
    """`grants(owner)` tells what a service may; `clock` gives Unix seconds. `restore()` comes before all else."""

    def __init__(
        self,
        dataplane: Dataplane,
        line: Line,
        ledger: ledgers.Ledger,
        grants: Callable[[str], Grant],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dataplane, self._line, self._ledger, self._clock = dataplane, line, ledger, clock
        self._grants = grants
        self._held = Held()
        self._compiled = Compiled()
        self._rounds: dict[str, set[str]] = {}
        self._before: dict[str, Held] = {}
        self._leaving: set[str] = set()  # owners whose withdrawal the kernel refused
        self.on_change: Callable[[], None] = lambda: None  # what is held is another now

    # -- the verbs of services

    def add_class(self, owner: str, name: str, rate, ceil=None, up=None, up_ceil=None) -> dict:
        """A class guaranteed `rate` down and `up` (default: `rate`) up, and at most its ceils (default: its rates).

        Asked again with other rates it changes in place. Errors: `InvalidError`, `NotPermittedError`, `LimitError`,
        `LineFullError`, `KernelError`. The answer has the rates in bit/s.
        """
        key = owner, parse_name(name, "class")
        rate = rate_of(self._line, rate, ceil, up, up_ceil)
        limit = self._limit(owner, "add_class")
        others = [c for k, c in self._counted(owner).classes.items() if k != key]
        _check_limit(limit, "class", sum(c.owner == owner for c in others))
        if limit.rate is not None:
            own = [c.rate for c in others if c.owner == owner]
            if max(rate.down + sum(r.down for r in own), rate.up + sum(r.up for r in own)) > limit.rate:
                raise LimitError(f"service {owner} may have classes of {limit.rate / 8000:g} kB/s in sum")
        check_line(self._line, [c.rate for c in others], rate)
        known = self._held.classes.get(key)
        if known is None:
            lease = ClassLease(owner, name, self._free_id(), rate, self._clock())
        else:
            lease = replace(known, rate=rate)
        if lease != known:
            self._commit(replace(self._held, classes={**self._held.classes, key: lease}))
        self._ask(owner, _asked(name))
        return {"class": name, "rate": rate.down, "ceil": rate.down_ceil, "up": rate.up, "up_ceil": rate.up_ceil}

    def remove_class(self, owner: str, name: str) -> None:
        """The inverse; the members of the class go with it. `NotFoundError` where the owner has no such class."""
        key = self._class(owner, name)
        self._commit(self._held.without({key}))

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
        limit = self._limit(owner, "add_class_member")
        lease_id, now = member_id(owner, name, flow), self._clock()
        others = [m for m in self._counted(owner).members.values() if m.id != lease_id]
        _check_limit(limit, "member", sum(m.owner == owner for m in others))
        known = self._held.members.get(lease_id)
        if known is None:
            if len(self._held.members) >= MAX_MEMBERS:
                raise LimitError(f"the router has its {MAX_MEMBERS} members of classes")
            names = hosts.wanted(self._held)
            if flow.host and flow.host not in names and len(names) >= hosts.MAX_HOSTS:
                raise LimitError(f"the router follows its {hosts.MAX_HOSTS} host names")
        until = None if duration is None else now + duration
        member = MemberLease(lease_id, *key, flow, known.since if known else now, until)
        if member != known:
            self._commit(replace(self._held, members={**self._held.members, lease_id: member}))
        self._ask(owner, lease_id)
        return report.lease(member, self._compiled)

    def remove_class_member(self, owner: str, lease_id: str) -> None:
        """The inverse; `NotFoundError` where the owner has no such lease."""
        if not isinstance(lease_id, str) or not lease_id:
            raise InvalidError("argument 'lease' is the text that add_class_member answered with")
        member = self._held.members.get(lease_id)
        if member is None or member.owner != owner:
            raise NotFoundError(f"there is no lease {lease_id[:64]!r}; list names those that there are")
        self._commit(self._held.without(set(), {lease_id}))

    # -- the life of owners

    def begin(self, owner: str) -> None:
        """A round opens: the owner will ask for all that it wants. An open one starts over."""
        self._rounds[owner] = set()
        self._leaving.discard(owner)
        self._before.setdefault(owner, self._held)
        self._save()

    def ready(self, owner: str) -> None:
        """The round closes: what `owner` has and did not ask for in it ends, in one transaction. None open: nothing."""
        asked = self._rounds.get(owner)
        if asked is None:
            return
        mine = {k for k in self._held.classes if k[0] == owner}
        members = {m.id for m in self._held.members.values() if m.owner == owner}
        self._commit(self._held.without({k for k in mine if _asked(k[1]) not in asked}, members - asked))
        self._close(owner)

    def abort(self, owner: str) -> None:
        """The round closes the other way: what `owner` had when it opened, it has again. None open: nothing."""
        before = self._before.get(owner)
        if before is None:
            self._close(owner)
            return
        held = self._held
        classes = {k: c for k, c in held.classes.items() if k[0] != owner}
        taken = {c.id for c in classes.values()}
        for key, lease in before.classes.items():
            if key[0] == owner:
                number = lease.id if lease.id not in taken else self._free_id(taken)
                taken.add(number)
                classes[key] = replace(lease, id=number)
        members = {i: m for i, m in held.members.items() if m.owner != owner}
        members |= {i: m for i, m in before.members.items() if m.owner == owner}
        self._commit(Held(classes, members, {**before.addresses, **held.addresses}).without(set()))
        self._close(owner)

    def withdraw(self, owner: str) -> None:
        """Everything of `owner` goes, in one transaction. What the kernel refuses now, `tick` tries again."""
        self._leaving.add(owner)
        self._close(owner)
        try:
            self._let_go()
        except IsdfError as error:
            log.error("what service %s has on the line stays for now: %s", owner, error)
            self.on_change()

    def owners(self) -> set[str]:
        """Who has anything."""
        return {owner for owner, _ in self._held.classes}

    def settle(self) -> None:
        """Priorities or positions of services have changed: settle claims that meet anew."""
        self._commit(self._held)

    def repair(self) -> None:
        """A device may be another one now: make the kernel again what it should be; `KernelError`."""
        self._dataplane.adopt(self._line, self._compiled.state)

    # -- names and time

    def learn(self, host: str, address: str, ttl: float) -> None:
        """A DNS answer gave `host` (lower case, no last dot) this address for `ttl` seconds."""
        held = hosts.learned(self._held, host, address, ttl, self._clock())
        if held is not self._held:  # most answers that pass are of names that nobody wants
            self._commit(held)

    def hosts_wanted(self) -> set[str]:
        """The names, and patterns `*.domain`, that members of classes want to follow."""
        return hosts.wanted(self._held)

    def knows(self, host: str) -> bool:
        """Whether addresses of `host` are known."""
        return bool(self._held.addresses.get(host))

    def tick(self) -> float | None:
        """End what is over; the answer is in how many seconds to call again (None: nothing has an end)."""
        self._let_go()
        now = self._clock()
        over = {m.id for m in self._held.members.values() if m.until is not None and m.until <= now}
        self._commit(hosts.aged(self._held.without(set(), over) if over else self._held, now))
        ends = [m.until for m in self._held.members.values() if m.until is not None]
        address_end = hosts.next_end(self._held, now)
        if address_end is not None:
            ends.append(address_end)
        return max(0.0, min(ends) - now) if ends else None

    def restore(self) -> None:
        """At start: believe the ledger and make the kernel agree with it, changing only what differs.

        A ledger that this agent cannot read counts as empty, and the kernel is made empty too.
        """
        state = self._ledger.load()
        held, rounds = Held(), {}
        if state is not None:
            try:
                held, rounds = ledgers.parse(state)
            except IsdfError as error:
                log.error("%s; starting with nothing held", error)
        compiled = compile_state(held, self._rank)
        try:
            self._dataplane.adopt(self._line, compiled.state)
        except KernelError as error:
            # Fail open: the agent must run to be told more; the dataplane tries all of it again at the next change.
            log.error("%s; nothing is shaped until the next change succeeds", error)
        self._held, self._compiled, self._rounds = held, compiled, rounds
        down, up = left_of(self._line, [c.rate for c in held.classes.values()])
        if min(down, up) < 0:
            log.warning("classes from before the restart want more than the line has now; it is smaller than it was")
        self._save()

    # -- what there is

    def list(self, owner: str | None = None) -> dict:
        """The classes, with their members, of `owner` (None: of all, and each tells its owner)."""
        return report.classes(self._held, self._compiled, owner)

    def status(self) -> dict:
        """The line in bit/s, what is left of it, and what each class has carried since it was made."""
        try:
            return report.status(self._held, self._line, self._dataplane.counters())
        except KernelError as error:
            return {**report.status(self._held, self._line, {}), "error": error.as_dict()}

    # -- inside

    def _let_go(self) -> None:
        if self._leaving:
            self._commit(self._held.without({key for key in self._held.classes if key[0] in self._leaving}))
            self._leaving.clear()

    def _commit(self, held: Held) -> None:
        """Put `held` in force; `settle` comes with the same one, because ranks may have changed."""
        compiled = compile_state(held, self._rank)
        change = difference(self._compiled.state, compiled.state)
        if change:
            self._dataplane.apply(change)
        changed = held is not self._held
        self._held, self._compiled = held, compiled
        if changed:
            self._save()
            self.on_change()

    def _save(self) -> None:
        self._ledger.save(ledgers.dump(self._held, self._rounds))

    def _ask(self, owner: str, what: str) -> None:
        asked = self._rounds.get(owner)
        if asked is not None and what not in asked:
            asked.add(what)
            self._save()

    def _close(self, owner: str) -> None:
        self._before.pop(owner, None)
        if self._rounds.pop(owner, None) is not None:
            self._save()

    def _counted(self, owner: str) -> Held:
        """What is held without what `owner` itself has on its way out in an open round."""
        asked = self._rounds.get(owner)
        if asked is None:
            return self._held
        leaving = {k for k in self._held.classes if k[0] == owner and _asked(k[1]) not in asked}
        members = {m.id for m in self._held.members.values() if m.owner == owner and m.id not in asked}
        return self._held.without(leaving, members)

    def _grant(self, owner: str) -> Grant:
        return UNLIMITED if owner == LOCAL else self._grants(owner)

    def _rank(self, owner: str) -> tuple[int, int]:
        try:
            grant = self._grant(owner)
        except IsdfError:  # not in the assignment any more, about to be withdrawn
            return 1 << 31, 1 << 31
        return -grant.priority, grant.position

    def _limit(self, owner: str, verb: str) -> Limit:
        limit = self._grant(owner).limits.get(verb)
        if limit is None:
            raise NotPermittedError(f"service {owner} may not {verb}: its service.yaml does not list it under 'may'")
        return limit

    def _class(self, owner: str, name: str) -> Key:
        key = owner, parse_name(name, "class")
        if key not in self._held.classes:
            raise NotFoundError(f"there is no class {name!r}; add_class makes it")
        return key

    def _free_id(self, taken: set[int] | None = None) -> int:
        taken = {c.id for c in self._held.classes.values()} | (taken or set())
        number = next((i for i in range(FIRST_ID, LAST_ID + 1) if i not in taken), None)
        if number is None:
            raise LimitError(f"the router has its {LAST_ID - FIRST_ID + 1} classes")
        return number


def _asked(name: str) -> str:
    return f"class {name}"  # a lease of a member is hexadecimal: the two cannot meet in one set


def _check_limit(limit: Limit, what: str, others: int) -> None:
    if limit.max is not None and others >= limit.max:
        raise LimitError(f"the service may have {limit.max} of these at a time: {what}")
