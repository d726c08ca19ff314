"""The agent's configuration: where things lie, and what /etc/config/isdf means."""

from __future__ import annotations

import re

from isdf import options
from isdf.errors import InvalidError
from isdf.model import Line, parse_rate
from isdf.path import Path
from isdf.value import dataclass

from .uci import Section, parse_uci

_ADDRESS = re.compile(
    r"(?P<scheme>[a-z]+)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/[!$->@-~]*)?\Z"
)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things lie below `root`: `/` on a router, a folder of its own for an agent as a plain process."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def config(self) -> Path:
        return self.at("/etc/config/isdf")

    @property
    def flash(self) -> Path:
        """Survives a reboot; written rarely."""
        return self.at("/etc/isdf")

    @property
    def run(self) -> Path:
        """Memory; empty after a reboot."""
        return self.at("/var/run/isdf")

    @property
    def services(self) -> Path:
        return self.at("/usr/lib/isdf/services")

    @property
    def passwd(self) -> Path:
        return self.at("/etc/passwd")

    @property
    def resolv_conf(self) -> Path:
        return self.at("/etc/resolv.conf")

    @property
    def ubus(self) -> Path:
        return self.at("/var/run/ubus/ubus.sock")


@dataclass(frozen=True, slots=True)
class Config:
    """/etc/config/isdf: sections `agent` and `line`. Rates of the line are kbit/s in the file and bit/s here.

    `manager` and `claim` are "" where the file does not say; `line` is None where it has no rates.
    """

    manager: str
    claim: str
    insecure: bool
    pull_interval: float
    ready_timeout: float
    push_port: int
    dataplane: str
    mark_mask: int
    line: Line | None
    wan: str
    lan: tuple[str, ...]


def load(path: Path) -> Config:
    """Read and check the file at `path`; `InvalidError` says which option is missing or wrong."""
    try:
        sections = parse_uci(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        advice = "put there what 'isdf-manager device add NAME --uci FILE' writes"
        raise InvalidError(f"{path} cannot be read: {reason}; {advice}") from None
    try:
        return _config({s.name: s for s in sections if _is_ours(s)})
    except InvalidError as error:
        raise InvalidError(f"{path}: {error}") from None


def _is_ours(section: Section) -> bool:
    """Whether it is the section `agent` or `line`: by their names they are known to shell scripts, too."""
    if section.type in ("agent", "line") and section.name != section.type:
        name = f"the name {section.name!r}" if section.name else "no name"
        raise InvalidError(f"section {section.type} has {name}; write \"config {section.type} '{section.type}'\"")
    return section.type == section.name


def _config(sections: dict[str, Section]) -> Config:
    if "agent" not in sections:
        raise InvalidError("section 'agent' is missing")
    agent, line = sections["agent"], sections.get("line", Section("line", None, {}))
    insecure = agent.flag("insecure")
    manager = parse_manager(agent.text("manager"), insecure=insecure) if agent.text("manager") else ""
    if agent.text("claim") and not manager:
        raise InvalidError("option manager of section agent is missing; it is the address that goes with option claim")
    try:
        found = {name: options.parse(name, agent.text(name)) for name in options.OPTIONS}
    except InvalidError as error:
        raise InvalidError(f"option {error}") from None
    return Config(
        manager=manager,
        claim=agent.text("claim"),
        insecure=insecure,
        line=_rates(line),
        wan=line.text("wan", "wan"),
        lan=tuple(line.texts("lan")) or ("br-lan",),
        **found,
    )


def parse_manager(text: str, *, insecure: bool, how: str = "option insecure '1'") -> str:
    """The manager's address without a slash at its end, https or, if `insecure`, http; else `InvalidError`.

    `how` http is allowed, where the address was read.
    """
    parts = _ADDRESS.match(text)
    if not parts or int(parts["port"] or 1) not in range(1, 65536):
        raise InvalidError(f"manager {text!r} is not an address such as 'https://isdf.isp.example'")
    if parts["scheme"] not in (("https", "http") if insecure else ("https",)):
        raise InvalidError(f"manager {text!r} is not an https address; http needs {how}")
    return text.rstrip("/")


def line_of(rates: dict[str, int]) -> Line:
    """The line of `rates` in kbit/s by `down`, `up`, `base_down` and `base_up`."""
    return Line(*(rates[name] * 1000 for name in Line._fields))


def _rates(section: Section) -> Line | None:
    there = [name for name in Line._fields if section.text(name)]
    if not there:
        return None
    rates = {}
    for name in Line._fields:
        value = section.text(name)
        if not value:
            raise InvalidError(f"option {name} of section line is missing beside {there[0]}")
        try:
            rates[name] = parse_rate(value + "kbit" if value.replace(".", "", 1).isdigit() else value)
        except InvalidError as error:
            raise InvalidError(f"option {name} of section line: {error}") from None
    line = Line(**rates)
    if line.base_down > line.down or line.base_up > line.up:
        raise InvalidError("base_down or base_up is more than the line can carry (down, up)")
    return line
