"""The files of /etc/config read and written: sections with options and lists, as OpenWrt's uci writes them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """A section `config KIND 'name'`; an option is text, a list is a list of texts."""

    kind: str
    name: str | None
    options: dict[str, str | list[str]] = field(default_factory=dict)

    def get(self, option: str, default: str | None = None) -> str | None:
        """An option's text; of a list the words, with a space between."""
        value = self.options.get(option, default)
        return " ".join(value) if isinstance(value, list) else value

    def words(self, option: str) -> list[str]:
        """A list's texts; of an option its words."""
        value = self.options.get(option, [])
        return value.split() if isinstance(value, str) else value

    def on(self, option: str, default: bool = False) -> bool:
        value = self.get(option)
        return default if value is None else value in ("1", "on", "true", "yes", "enabled")


def parse(text: str) -> list[Section]:
    """The sections of a file; `ValueError` names a line that is none of config, option and list."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        match shlex.split(line, comments=True):
            case []:
                pass
            case ["config", kind, *name] if len(name) < 2:
                sections.append(Section(kind, name[0] if name else None))
            case ["option", option, value] if sections:
                sections[-1].options[option] = value
            case ["list", option, value] if sections:
                sections[-1].options.setdefault(option, []).append(value)
            case _:
                raise ValueError(f"line {number} is no config, option or list: {line.strip()}")
    return sections


def dump(sections: list[Section]) -> str:
    """The text of a file with these sections; `parse` reads the same from it."""
    lines = []
    for section in sections:
        lines.append(f"config {section.kind}" + (f" {_quoted(section.name)}" if section.name else ""))
        for option, value in section.options.items():
            if isinstance(value, list):
                lines += [f"\tlist {option} {_quoted(item)}" for item in value]
            else:
                lines.append(f"\toption {option} {_quoted(value)}")
        lines.append("")
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
