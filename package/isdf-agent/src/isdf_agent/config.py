"""The agent's configuration: OpenWrt's UCI file format, and what /etc/config/isdf means.

Reference of the format: OpenWrt's user guide, "The UCI system", section "File syntax".
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from isdf.errors import InvalidError
from isdf.model import Line, parse_rate


@dataclass(frozen=True, slots=True)
class Section:
    """A UCI section; `options` holds text for `option` and a list of texts for `list`."""

    type: str
    name: str | None
    options: dict[str, str | list[str]]

    def text(self, option: str, default: str = "") -> str:
        value = self.options.get(option, default)
        return value[-1] if isinstance(value, list) else value

    def texts(self, option: str) -> list[str]:
        value = self.options.get(option, [])
        return value if isinstance(value, list) else value.split()

    def flag(self, option: str, default: bool = False) -> bool:
        """UCI's truth: 1, on, true, yes and enabled."""
        value = self.text(option)
        return value in ("1", "on", "true", "yes", "enabled") if value else default

    def number(self, option: str, default: float, low: float, high: float) -> float:
        value = self.text(option)
        try:
            number = float(value) if value else default
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise InvalidError(f"option {option} of section {self.type} is {value!r}; it takes {low:g} to {high:g}")
        return number


def parse_uci(text: str) -> list[Section]:
    """The sections of a UCI file in their order; `InvalidError` names the line at fault."""
    sections: list[Section] = []
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            start = number
        pending += line
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # an open quote: the value goes on in the next line
            pending += "\n"
            continue
        pending = ""
        match words:
            case [] | ["package", _]:
                pass
            case ["config", kind] | ["config", kind, _]:
                sections.append(Section(kind, words[2] if len(words) == 3 else None, {}))
            case ["option", key, value] if sections:
                sections[-1].options[key] = value
            case ["list", key, value] if sections:
                known = sections[-1].options.setdefault(key, [])
                sections[-1].options[key] = [*(known if isinstance(known, list) else [known]), value]
            case _:
                raise InvalidError(f"line {start} is not 'config', 'option' or 'list' of a UCI file: {line.strip()!r}")
    if pending:
        raise InvalidError(f"line {start} opens a quote that nothing closes")
    return sections


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
    """/etc/config/isdf: sections `agent` and `line`. Rates of the line are kbit/s in the file and bit/s here."""

    manager: str
    device: str
    device_key: bytes
    feed_secret: str
    catalogue_key: str
    assignment_key: str
    pull_interval: float
    ready_timeout: float
    push_port: int
    insecure: bool
    dataplane: str
    mark_mask: int
    line: Line
    wan: str
    lan: tuple[str, ...]


def load(path: Path) -> Config:
    """Read and check the file at `path`; `InvalidError` says which option is missing or wrong."""
    try:
        sections = parse_uci(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from None
    try:
        return _config({s.type: s for s in sections})
    except InvalidError as error:
        raise InvalidError(f"{path}: {error}") from None


def _config(sections: dict[str, Section]) -> Config:
    for kind in ("agent", "line"):
        if kind not in sections:
            raise InvalidError(f"section '{kind}' is missing")
    agent, line = sections["agent"], sections["line"]

    def need(section: Section, option: str) -> str:
        if value := section.text(option):
            return value
        raise InvalidError(f"option {option} of section {section.type} is missing")

    def kbit(option: str) -> int:
        value = need(line, option)
        return parse_rate(value + "kbit" if value.replace(".", "", 1).isdigit() else value)

    insecure = agent.flag("insecure")
    manager = need(agent, "manager").rstrip("/")
    if not manager.startswith(("https://", "http://") if insecure else "https://"):
        raise InvalidError(
            f"option manager is {manager!r}; it takes an https address (http only with option insecure '1')"
        )
    try:
        device_key = bytes.fromhex(need(agent, "device_key"))
        mark_mask = int(agent.text("mark_mask", "0xff000000"), 0)
    except ValueError as error:
        raise InvalidError(f"option device_key or mark_mask is not hexadecimal: {error}") from None
    if len(device_key) != 32:
        raise InvalidError("option device_key is not 32 bytes (64 hexadecimal digits)")
    dataplane = agent.text("dataplane", "kernel")
    if dataplane not in ("kernel", "memory"):
        raise InvalidError(f"option dataplane is {dataplane!r}; it takes 'kernel' or 'memory'")
    rates = Line(kbit("down"), kbit("up"), kbit("base_down"), kbit("base_up"))
    if rates.base_down > rates.down or rates.base_up > rates.up:
        raise InvalidError("base_down or base_up is more than the line can carry (down, up)")
    return Config(
        manager=manager,
        device=need(agent, "device"),
        device_key=device_key,
        feed_secret=need(agent, "feed_secret"),
        catalogue_key=need(agent, "catalogue_key"),
        assignment_key=need(agent, "assignment_key"),
        pull_interval=agent.number("pull_interval", 1800, 10, 86400),
        ready_timeout=agent.number("ready_timeout", 30, 1, 600),
        push_port=int(agent.number("push_port", 9009, 1, 65535)),
        insecure=insecure,
        dataplane=dataplane,
        mark_mask=mark_mask,
        line=rates,
        wan=need(line, "wan"),
        lan=tuple(line.texts("lan")),
    )
