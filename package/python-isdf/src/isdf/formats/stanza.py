"""The text of `control`, `Packages` and opkg's `status`: fields in stanzas, stanzas separated by an empty line.

Reference: opkg-lede `libopkg/pkg_parse.c`. It reads line by line, knows a field by the *beginning* of its name, and
continues a value on a line that begins with a blank in `Description` and `Conffiles` alone. What it takes otherwise
than it looks (the same field twice, a continued `Depends`, a line without a colon) is refused here, and so is a
`Depends` that is empty or ends with a comma or a blank: on some of these it crashes, for every package of the list.
"""

from __future__ import annotations

import re

from ..errors import FormatError, InvalidError

_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
_DEPENDS = re.compile(r".*[^\s,]\Z")
_CONTINUED = {"Description", "Conffiles"}
MAX_SIZE = 1 << 20


def parse(data: bytes, max_size: int = MAX_SIZE) -> list[dict[str, str]]:
    """The stanzas of `data`, each field with its value without blanks around it; continued lines are joined by \\n.

    Raises `FormatError` for more than `max_size` bytes and for all that is not plainly of the format.
    """
    if len(data) > max_size:
        raise FormatError(f"package data has {len(data)} bytes; {max_size} are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FormatError("package data is not UTF-8 text") from None
    if text and not text.endswith("\n"):
        raise FormatError("package data does not end with a newline")
    stanzas: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    seen: set[str] = set()
    last = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line == "":
            if fields:
                stanzas.append(fields)
            fields, seen, last = {}, set(), ""
            continue
        if not line.isprintable():
            raise FormatError(f"line {number} of package data has a control character")
        if line[0] == " ":
            if last not in _CONTINUED:
                raise FormatError(f"line {number} of package data continues {last or 'nothing'}, which opkg does not")
            fields[last] += "\n" + line[1:].rstrip()
            continue
        last, colon, value = line.partition(":")
        if not colon or not _FIELD.match(last):
            raise FormatError(f"line {number} of package data is not 'Field: value'")
        if last.lower() in seen:
            raise FormatError(f"field {last} is there twice (line {number} of package data)")
        if last == "Depends" and not _DEPENDS.match(value):
            raise FormatError(f"line {number} of package data is a Depends that crashes opkg: {value[:60]!r}")
        seen.add(last.lower())
        fields[last] = value.strip()
    return stanzas


def dump(fields: dict[str, str]) -> bytes:
    """One stanza in the order of `fields`, without the empty line that ends it; `InvalidError` if it has no such form.

    OpenWrt's build puts a second blank before a description; so do we, because indexes are compared byte by byte.
    """
    lines = []
    seen = set()
    for name, value in fields.items():
        first, *more = value.split("\n")
        if not _FIELD.match(name) or name.lower() in seen:
            raise InvalidError(f"{name!r} cannot be a field of package data, or is there twice")
        if more and name not in _CONTINUED:
            raise InvalidError(f"field {name} has several lines; only Description and Conffiles may")
        if first != first.strip() or not all(line.isprintable() and line == line.rstrip() for line in (first, *more)):
            raise InvalidError(f"field {name} has blanks around its value or a control character: {value[:60]!r}")
        if name == "Depends" and not _DEPENDS.match(first):
            raise InvalidError(f"field Depends is empty or ends with a comma, which crashes opkg: {value[:60]!r}")
        seen.add(name.lower())
        lines.append(f"{name}: {' ' if name == 'Description' and first else ''}{first}")
        lines.extend(f" {line}" for line in more)
    return "".join(f"{line.rstrip() if line.endswith(': ') else line}\n" for line in lines).encode()
