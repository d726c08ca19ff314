"""The command `uci` on a router: what shell scripts do to the files of /etc/config.

    uci [-t FOLDER] [-q] get CONFIG.SECTION[.OPTION] | set CONFIG.SECTION[.OPTION]=VALUE
             | add_list CONFIG.SECTION.OPTION=VALUE | delete CONFIG.SECTION[.OPTION] | commit [CONFIG]

Sections go by their name. A change is in the file at once, where OpenWrt's uci keeps it aside until `commit`, in FOLDER
where it is given; as with that one comments do not outlive a change. Reference: openwrt/uci `cli.c`, `file.c`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from premises.uci import Section, dump, parse

FOLDER = Path("/etc/config")


def main(arguments: list[str]) -> int:
    """Exit status 0; 1 where there is no such entry or the command is wrong, said on stderr without `-q`."""
    arguments = arguments[2:] if arguments[:1] == ["-t"] else arguments
    quiet = arguments[:1] == ["-q"]
    try:
        match arguments[quiet:]:
            case ["commit", *_]:
                pass
            case ["get", name]:
                print(_get(name))
            case ["set" | "add_list" | "delete" as verb, entry]:
                _change(verb, entry)
            case _:
                raise ValueError("Invalid argument")
    except (LookupError, OSError, ValueError) as error:
        if not quiet:
            print(f"uci: {error}", file=sys.stderr)
        return 1
    return 0


def _named(name: str) -> tuple[Path, list[Section], str, str | None]:
    """The file of CONFIG.SECTION[.OPTION], its sections, the section's name and the option."""
    config, section, *option = name.split(".")
    file = FOLDER / config
    return file, parse(file.read_text()), section, option[0] if option else None


def _find(sections: list[Section], name: str) -> Section:
    for section in sections:
        if section.name == name:
            return section
    raise LookupError("Entry not found")


def _get(name: str) -> str:
    _, sections, section, option = _named(name)
    found = _find(sections, section)
    value = found.kind if option is None else found.get(option)
    if value is None:
        raise LookupError("Entry not found")
    return value


def _change(verb: str, entry: str) -> None:
    name, equals, value = entry.partition("=")
    if bool(equals) != (verb != "delete"):
        raise ValueError("Invalid argument")
    file, sections, section, option = _named(name)
    if verb == "set" and option is None:
        if all(s.name != section for s in sections):
            sections.append(Section(value, section))
    elif verb == "set":
        _find(sections, section).options[option] = value
    elif verb == "add_list":
        found = _find(sections, section)
        found.options[option] = [*found.words(option), value]
    elif option is None:
        sections.remove(_find(sections, section))
    elif _find(sections, section).options.pop(option, None) is None:
        raise LookupError("Entry not found")
    new = file.with_name(f".{file.name}.new")
    new.write_text(dump(sections))
    new.chmod(file.stat().st_mode & 0o777)
    os.replace(new, file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
