"""The DNS answers that pass the router: logged by nft while somebody wants them, read by NFLOG.

Answers to clients that ask a resolver outside pass `forward`, those to the router's own resolver arrive in `input`, and
what that resolver answers from its cache leaves through `output`. The table is apart from the dataplane's, so that
neither disturbs the other.
"""

from __future__ import annotations

from collections.abc import Callable

from isdf.digest import sha256
from isdf.errors import FormatError, KernelError
from isdf.protocol import Protocol

from ..analyzers import dns, packets
from .nflog import Nflog

TABLE = "inet isdf_dns"
SNAPLEN = 1500
GROUP = 5599
_PRIORITY = 10  # after fw4's filter (0): what the firewall drops, as a forged answer from the WAN, teaches nothing
_HOOKS = ("forward", "input", "output")


class Rules(Protocol):
    """How nft commands are carried out (`isdf_agent.dataplane.nft.Nft`)."""

    def run(self, commands: str) -> None: ...

    def read(self, command: str) -> list[dict]: ...

    def has(self, table: str) -> bool: ...


class DnsTap:
    """Calls `heard(answer)` for each DNS answer, between `open` and `close`."""

    def __init__(self, loop, rules: Rules, heard: Callable[[dns.Answer], None], group: int = GROUP) -> None:
        self._loop, self._rules, self._heard, self._group = loop, rules, heard, group
        self._log: Nflog | None = None

    def open(self) -> None:
        """Begin to listen, or see to it that the rules are there still. `KernelError` when the kernel refuses."""
        log = self._log or Nflog(self._group, SNAPLEN)
        try:
            if not self._are_there():
                self._rules.run(rules(self._group))
        except Exception:
            if self._log is None:
                log.close()
            raise
        if self._log is None:
            self._log = log
            self._loop.watch(log.fileno(), self._readable)

    def close(self) -> None:
        """Listen no more, and take the rules away. Idempotent; also takes away those of an agent that was killed."""
        if self._rules.has(TABLE):
            self._rules.run(f"add table {TABLE}\ndelete table {TABLE}")
        if self._log is not None:
            self._loop.watch(self._log.fileno(), None)
            self._log.close()
            self._log = None

    def _are_there(self) -> bool:
        """Whether an agent that was killed left these very rules: then they stay as they are."""
        try:
            listed = self._rules.read(f"list table {TABLE}")
        except KernelError:
            return False
        found = sorted((e["rule"]["chain"], e["rule"].get("comment")) for e in listed if "rule" in e)
        return found == [(hook, _fingerprint(self._group)) for hook in _HOOKS]

    def _readable(self) -> None:
        for packet in self._log.read():
            datagram = packets.udp_data(packet)
            if datagram is None or datagram[0] != 53:
                continue
            try:
                answer = dns.parse(datagram[2])
            except FormatError:
                continue  # anybody may send anything from port 53
            self._heard(answer)
            if self._log is None:
                return  # nobody wants to hear any more


def rules(group: int) -> str:
    """The commands that log answers, replacing what an earlier agent may have left."""
    script = [f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}"]
    for hook in _HOOKS:
        script.append(f"add chain {TABLE} {hook} {{ type filter hook {hook} priority {_PRIORITY} ; policy accept ; }}")
        script.append(f'add rule {TABLE} {hook} {_rule(group)} comment "{_fingerprint(group)}"')
    return "\n".join(script)


def _rule(group: int) -> str:
    # Only answers (the first bit of the flags), and only to somebody who asked: who sends one unasked, from the LAN or
    # from outside, teaches nothing.
    asked = "ct state established ct direction reply"
    return f"udp sport 53 @th,80,1 1 {asked} log group {group} snaplen {SNAPLEN} queue-threshold 1"


def _fingerprint(group: int) -> str:
    return sha256(f"{_PRIORITY} {_rule(group)}".encode()).hexdigest()[:8]
