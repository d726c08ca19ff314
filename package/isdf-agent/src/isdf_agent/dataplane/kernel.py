"""The dataplane of a router: the queues by the link worker, the nft table by libnftables, changed as one.

Read this first. A class becomes rules in `ruleset.add_class` (which of them change: `transition`) and queues in `tree`
(brought to the kernel by `shaper`, in the link worker's process); a member becomes an element in `ruleset.elements`.
Order makes a change lose no packet. What is new: the queues first, then the rules that lead there; if nft refuses, the
queues go back. What is old: the rules first, then the worker waits for the queues to run empty and deletes them.

What is adopted or made anew as a whole, the table too, is the worker's: so libnftables comes into this process with the
first change, and its memory is that of changes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from isdf.errors import KernelError
from isdf.log import Log
from isdf.model import Line

from .link import LinkWorker
from .nft import Nft
from .ours import DNS_TABLE, IFB, PREFERENCE, TABLE
from .port import BASE, Change, Class, Counters, State, after
from .transition import Table, adopt_script, change_script, stale_script
from .watch import Watch

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
        self._watch: Watch | None = None
        self._line: Line | None = None
        self._state = State()
        self._buckets = None
        self._adopted = False
        self._missing: list[str] = []

    def watch(self, loop, changed: Callable[[], None]) -> None:
        try:
            self._watch = Watch((self._wan, *self._lan), IFB, PREFERENCE, (TABLE, DNS_TABLE), changed)
        except OSError as error:
            log.warning("what others change in the kernel is not heard of: %s", error.strerror)
            return
        self._watch.attach(loop)
        self._nft.ran = self._watch.ours

    def adopt(self, line: Line, state: State) -> None:
        self._line, self._state, self._adopted = line, state, False
        self._find_wan()
        table = self._table()
        ruined = bool(table and table.ruins)
        if table and not ruined and (stale := stale_script(table, state)):
            try:
                self._run(stale)
                table = self._table()
            except KernelError:
                ruined = True
        self._buckets = self._make_buckets(self._shape(state, anew=True)["leaf"])
        if not ruined:
            script = adopt_script(table, state, self._wan, self._buckets)
            try:
                if script:
                    self._run(script)
            except KernelError:
                if table is None:
                    raise
                ruined = True
        if ruined:
            log.warning("somebody made of table %s what cannot be mended in parts; it is made anew", TABLE)
            script = adopt_script(None, state, self._wan, self._buckets)
            self._run([f"delete table {TABLE}", *script])
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
        except KernelError:  # somebody took from the table what the change builds on
            self._adopt_instead(new)
            return
        self._state = new
        if change.remove_classes:
            try:
                self._shape(new)
            except KernelError as error:
                # No packet goes there any more; the next change looks at all queues again.
                log.warning("the queues of classes %s stay for now: %s", change.remove_classes, error)

    def _adopt_instead(self, new: State) -> None:
        """All of the new state, not only the change: the kernel has not what the change could be made to."""
        old = self._state
        try:
            self.adopt(self._line, new)
        except KernelError:
            try:
                self.adopt(self._line, old)
            except KernelError as error:
                self._state = old  # the next change, or a repair, tries again
                log.warning("the kernel is not as it should be: %s", error)
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
        self._run([f"add table {TABLE}", f"delete table {TABLE}"])
        self._worker.call("teardown")
        self._line, self._state, self._adopted = None, State(), False

    def close(self) -> None:
        """Let go of the worker and the library; the kernel keeps what it has."""
        self._worker.close()
        self._nft.close()

    def _shape(self, state: State, anew: bool = False) -> dict:
        line = self._line
        self._find_wan()
        classes = {BASE: (line.base_down, line.base_down, line.base_up, line.base_up)}
        classes |= {c.id: _rates(c) for c in state.classes.values()}
        if self._watch:
            self._watch.learn()
        answer = self._worker.call(
            "shape", wan=self._wan, lan=self._lan, down=line.down, up=line.up, classes=classes, anew=anew
        )
        if self._watch:
            self._watch.trust(answer["port"])
        missing, self._missing = self._missing, answer["missing"]
        if answer["missing"] not in ([], missing):
            log.warning("LAN devices %s are not there; what leaves through them is not shaped", answer["missing"])
        return answer

    def _find_wan(self) -> None:
        if not _exists(self._wan):  # which the worker would say too, for twelve megabytes
            raise KernelError(f"the WAN device {self._wan} does not exist")

    def _run(self, commands: list[str]) -> None:
        self._worker.call("run", commands="\n".join(commands))
        if self._watch:
            self._watch.ours()

    def _table(self) -> Table | None:
        if not self._nft.has(TABLE):
            return None
        return Table.read(self._worker.call("read", command=f"list table {TABLE}"))

    def _make_buckets(self, leaf: str):
        if leaf != "buckets":
            return None
        from .buckets import Buckets

        return Buckets(self._mask)


def _exists(device: str) -> bool:
    return device in (name for _, name in socket.if_nameindex())


def _rates(c: Class) -> tuple[int, int, int, int]:
    return c.rate.down, c.rate.down_ceil, c.rate.up, c.rate.up_ceil
