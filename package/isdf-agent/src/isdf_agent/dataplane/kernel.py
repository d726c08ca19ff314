"""The dataplane of a router: the queues by the link worker, the nft table by libnftables, changed as one.

Read this first. A class becomes rules in `ruleset.add_class` (which of them change: `transition`) and queues in `tree`
(brought to the kernel by `shaper`, in the link worker's process); a member becomes an element in `ruleset.elements`.
Order makes a change lose no packet. What is new: the queues first, then the rules that lead there; if nft refuses, the
queues go back. What is old: the rules first, then the worker waits for the queues to run empty and deletes them.
"""

from __future__ import annotations

from isdf.errors import KernelError
from isdf.log import Log
from isdf.model import Line

from .link import LinkWorker
from .nft import Nft
from .port import BASE, Change, Class, Counters, State, after
from .ruleset import TABLE
from .transition import Table, adopt_script, change_script, stale_script

log = Log(__name__)


class KernelDataplane:
    """`wan` is the device of the access, `lan` those whose egress is the way down; `mark_mask` the bits of the
    connection mark that are ours. All in the network namespace of the process."""

    def __init__(
        self,
        wan: str,
        lan: tuple[str, ...],
        mark_mask: int = 0xFF000000,
        nft: Nft | None = None,
        worker: LinkWorker | None = None,
    ) -> None:
        self._wan, self._lan, self._mask = wan, tuple(lan), mark_mask
        self._nft = nft or Nft()
        self._worker = worker or LinkWorker()
        self._line: Line | None = None
        self._state = State()
        self._buckets = None
        self._adopted = False
        self._missing: list[str] = []

    def adopt(self, line: Line, state: State) -> None:
        self._line, self._state, self._adopted = line, state, False
        table = self._table()
        if table:
            stale = stale_script(table, state)
            if stale:
                self._nft.run("\n".join(stale))
                table = self._table()
        self._buckets = self._make_buckets(self._shape(state)["leaf"])
        script = adopt_script(table, state, self._wan, self._buckets)
        if script:
            self._nft.run("\n".join(script))
        self._adopted = True

    def apply(self, change: Change) -> None:
        if self._line is None:
            raise KernelError("the dataplane has not adopted the kernel's state yet")
        new = after(self._state, change)
        if not self._adopted:
            self._adopt_instead(new)
            return
        if change.set_classes:
            self._shape(State({**self._state.classes, **new.classes}))
        script = change_script(self._state, change, self._wan, self._buckets)
        try:
            if script:
                self._nft.run("\n".join(script))
        except KernelError:
            if not self._has_table():  # somebody flushed the ruleset
                self._adopt_instead(new)
                return
            if change.set_classes:
                self._shape(self._state)
            raise
        self._state = new
        if change.remove_classes:
            try:
                self._shape(new)
            except KernelError as error:
                # No packet goes there any more; the next change looks at all queues again.
                log.warning("the queues of classes %s stay for now: %s", change.remove_classes, error)

    def _adopt_instead(self, new: State) -> None:
        """All of the new state, not only the change: the kernel has nothing that the change could be made to."""
        old = self._state
        try:
            self.adopt(self._line, new)
        except KernelError:
            self._state = old
            raise

    def counters(self) -> dict[int, Counters]:
        found: dict[int, dict[str, int]] = {}
        for entry in self._nft.read(f"list counters table {TABLE}"):
            if counter := entry.get("counter"):
                way, _, number = counter["name"].partition("_")
                about = found.setdefault(int(number), {})
                about[f"{way}_packets"], about[f"{way}_bytes"] = counter["packets"], counter["bytes"]
        return {number: Counters(**about) for number, about in sorted(found.items())}

    def warm(self) -> None:
        self._worker.warm()

    def teardown(self) -> None:
        self._nft.run(f"add table {TABLE}\ndelete table {TABLE}")
        self._worker.call("teardown", wan=self._wan, lan=self._lan)
        self._line, self._state, self._adopted = None, State(), False

    def close(self) -> None:
        """Let go of the worker and the library; the kernel keeps what it has."""
        self._worker.close()
        self._nft.close()

    def _shape(self, state: State) -> dict:
        line = self._line
        classes = {BASE: (line.base_down, line.base_down, line.base_up, line.base_up)}
        classes |= {c.id: _rates(c) for c in state.classes.values()}
        answer = self._worker.call("shape", wan=self._wan, lan=self._lan, down=line.down, up=line.up, classes=classes)
        missing, self._missing = self._missing, answer["missing"]
        if answer["missing"] not in ([], missing):
            log.warning("LAN devices %s are not there; what leaves through them is not shaped", answer["missing"])
        return answer

    def _has_table(self) -> bool:
        family, name = TABLE.split()
        return any(e.get("table", {}).get("name") == name for e in self._nft.read(f"list tables {family}"))

    def _table(self) -> Table | None:
        return Table.read(self._nft.read(f"list table {TABLE}")) if self._has_table() else None

    def _make_buckets(self, leaf: str):
        if leaf != "buckets":
            return None
        from .buckets import Buckets

        return Buckets(self._mask)


def _rates(c: Class) -> tuple[int, int, int, int]:
    return c.rate.down, c.rate.down_ceil, c.rate.up, c.rate.up_ceil
