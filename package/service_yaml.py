#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A service's service.yaml as JSON, with the standard library alone: OpenWrt's build hosts have no YAML for Python.

    service_yaml.py service.yaml          the whole file as service.json
    service_yaml.py service.yaml title    one text of it, on one line

It reads the part of YAML that these files need: tables by indentation, lists by "- ", `{a: 1}` and `[a, b]` on one
line, folded text after `>-`, texts plain or quoted, numbers, true, false, null. All else is refused with its line,
above all what YAML takes for something else than it looks like (`no`, `1:30`, `010`, dates). What it accepts means the
same to every other reader of YAML.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_KEY = re.compile(r"""([A-Za-z_$][\w$.-]*|"[^"\\]*"|'[^']*')\s*:(?:\s+|$)""")
_WORDS = {"true": True, "false": False, "null": None}
_OTHER_TYPES = re.compile(  # what YAML 1.1 reads as no text, and who wrote it most likely meant as one
    r"(?i)(y|n|yes|no|on|off|~|true|false|null)$|[-+.]?\.?(inf|nan)$|[-+]?0[0-9box_][\w]*$|[-+]?[\d_.:]+$|"
    r"[-+]?[\d.]+e[-+]?\d+$|\d{4}-\d\d?-\d\d?|[=<]{1,2}$"
)


class Refused(Exception):
    """What the file has at a line and this reader does not take."""


class Lines:
    """The lines that say something, as (number, indentation, text), and the raw ones for folded text."""

    def __init__(self, text: str) -> None:
        self.raw = text.split("\n")
        self.at = 0

    def peek(self) -> tuple[int, int, str] | None:
        while self.at < len(self.raw):
            line = self.raw[self.at]
            text = line.strip()
            if text and not text.startswith("#"):
                if "\t" in line:
                    raise Refused(f"line {self.at + 1} has a tab")
                return self.at + 1, len(line) - len(line.lstrip()), text
            self.at += 1
        return None


def parse(text: str) -> dict:
    """The table that the file holds; `Refused` names the line at fault."""
    lines = Lines(text)
    if lines.peek() is None:
        raise Refused("the file is empty")
    found = _block(lines, 0)
    if rest := lines.peek():
        raise Refused(f"line {rest[0]} is indented otherwise than those above: {rest[2]}")
    if not isinstance(found, dict):
        raise Refused("the file is no table")
    return found


def _block(lines: Lines, indent: int) -> dict | list:
    """The table or list whose lines are indented by `indent`."""
    _, _, text = lines.peek()
    if text.startswith("- "):
        items = []
        while (line := lines.peek()) and line[1] == indent and line[2].startswith("- "):
            items.append(_value(line[2][2:].strip(), line[0]))
            lines.at += 1
        return items
    table = {}
    while (line := lines.peek()) and line[1] == indent:
        number, _, text = line
        if not (match := _KEY.match(text)):
            raise Refused(f"line {number} is not 'key: value': {text}")
        key, rest = match[1].strip("\"'"), text[match.end() :]
        if key in table:
            raise Refused(f"line {number} has {key!r} a second time")
        lines.at += 1
        rest = "" if rest.startswith("#") else rest
        if re.fullmatch(r">-(\s+#.*)?", rest):
            table[key] = _folded(lines, indent)
        elif rest:
            table[key] = _value(rest, number)
            if (after := lines.peek()) and after[1] > indent:
                raise Refused(f"line {after[0]} goes on with the text above; write '>-' before such a text")
        else:
            table[key] = _block(lines, after[1]) if (after := lines.peek()) and after[1] > indent else None
    return table


def _folded(lines: Lines, indent: int) -> str:
    """The text of `>-`: its lines with a space between, an empty line as a line's end."""
    taken: list[str] = []
    depth = None
    while lines.at < len(lines.raw):
        line = lines.raw[lines.at]
        if line.strip():
            own = len(line) - len(line.lstrip(" "))
            if own <= indent:
                break
            depth = own if depth is None else depth
            if own != depth:
                raise Refused(f"line {lines.at + 1} is indented otherwise than its text")
        taken.append(line.strip())
        lines.at += 1
    paragraphs = re.sub(r"(?<=[^\n])\n(?=[^\n])", " ", "\n".join(taken).strip("\n"))
    return re.sub(r"\n(\n+)", r"\1", paragraphs)


def _value(text: str, number: int):
    """The value in `text`, which ends its line but for a comment."""
    value, rest = _flow(text, number, "")
    if rest and not rest.startswith("#"):
        raise Refused(f"line {number} has more than a value: {rest}")
    return value


def _flow(text: str, number: int, ends: str):
    """The value that `text` begins with, up to one of `ends`; and what follows it."""
    if text[:1] in ("{", "["):
        return _collection(text[1:].lstrip(), number, "}" if text[0] == "{" else "]")
    if text[:1] in ('"', "'"):
        pattern = r'"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"' if text[0] == '"' else r"'(?:[^']|'')*'"
        if not (match := re.match(pattern, text)):
            raise Refused(f"line {number} has a quote that does not end there, or an escape unknown to JSON")
        quoted = match[0]
        value = json.loads(quoted) if text[0] == '"' else quoted[1:-1].replace("''", "'")
        return value, text[match.end() :].lstrip()
    plain = re.match(rf"(?:(?! #)[^{re.escape(ends)}])*" if ends else r"(?:(?! #).)*", text)[0]
    return _plain(plain.strip(), number), text[len(plain) :].lstrip()


def _collection(text: str, number: int, end: str) -> tuple[dict | list, str]:
    """The inside of `{...}` or `[...]`, whose first sign is gone; and what follows it."""
    table, items = {}, []
    while not text.startswith(end):
        if end == "}":
            if not (match := _KEY.match(text)):
                raise Refused(f"line {number} has a {{...}} that is not 'key: value, ...' on one line")
            key, text = match[1].strip("\"'"), text[match.end() :]
            if key in table:
                raise Refused(f"line {number} has {key!r} a second time")
            table[key], text = _flow(text, number, ",[]{}")
        else:
            item, text = _flow(text, number, ",[]{}")
            items.append(item)
        if text.startswith(","):
            text = text[1:].lstrip()
        elif not text.startswith(end):
            raise Refused(f"line {number} has a bracket that does not end there")
    return table if end == "}" else items, text[1:].lstrip()


def _plain(text: str, number: int):
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", text):
        return float(text)
    if not text or text[0] in "!&*|>%@`\"'#,[]{}?-" or ": " in text or text.endswith(":") or _OTHER_TYPES.match(text):
        raise Refused(f"line {number}: write {text!r} in quotes, if it is a text")
    return text


def main(arguments: list[str]) -> int:
    """Exit status 0; 1 with a sentence where the file cannot be read."""
    path, *key = arguments
    try:
        table = parse(Path(path).read_text(encoding="utf-8"))
        said = json.dumps(table, sort_keys=True, indent=1, ensure_ascii=False)
        if key:
            said = " ".join(str(table[key[0]]).split())
    except (OSError, UnicodeDecodeError, KeyError, Refused) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(said.encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
