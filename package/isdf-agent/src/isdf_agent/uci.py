"""OpenWrt's configuration files, read as uci reads them.

    config TYPE ['NAME'] | option NAME 'VALUE' | list NAME 'VALUE' | package NAME      and their first letters alone

A word may be made of pieces in single quotes (as they are), in double quotes (a backslash takes the next character as
it is) and bare (likewise; `#` ends the line). Quotes may go over lines, a `;` ends a command before its line does.
Reference: openwrt/uci `file.c`; the tests hold `parse_uci` to uci itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from isdf.errors import InvalidError
from isdf.value import dataclass

_SPACE = " \t\n\v\f\r"
_COMMANDS = {name: name for name in ("package", "config", "option", "list")}
_COMMANDS |= {name[0]: name for name in _COMMANDS}


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

    def flag(self, option: str) -> bool:
        """UCI's truth: 1, on, true, yes and enabled."""
        return self.text(option) in ("1", "on", "true", "yes", "enabled")


def parse_uci(text: str) -> list[Section]:
    """The sections of a UCI file in their order; `InvalidError` names the line at fault."""
    sections: list[Section] = []
    section = None
    for number, command, first, second in _commands(text):
        if command == "config":
            section = next((known for known in sections if second and known.name == second), None)
            if not section:
                section = Section(first, second or None, {})
                sections.append(section)
            elif section.type != first:
                raise _error(number, f"gives section {second!r} another type than before")
        elif command != "package" and not section:
            raise _error(number, f"has the {command} {first!r} before the first section")
        elif command == "option" and second:  # one without a value changes nothing
            section.options[first] = second
        elif command == "list":
            known = section.options.get(first, [])
            section.options[first] = [*(known if isinstance(known, list) else [known]), second]
    return sections


def _commands(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, command and its two words, "" where the second is missing."""
    line = _Line(text)
    while line.next():
        while keyword := line.keyword():
            number = line.number
            if keyword not in _COMMANDS:
                raise _error(number, f"is not 'config', 'option' or 'list' of a UCI file: {keyword.strip()!r}")
            command = _COMMANDS[keyword]
            first, second = line.word(), "" if command == "package" else line.word()
            if not first or line.word():
                raise _error(number, f"has too {'many' if first else 'few'} words for {command!r}")
            name = second if command == "config" else first
            if name and not _is_name(name.replace("-", "_") if command == "package" else name):
                raise _error(number, f"has the name {name!r}; a name is made of letters, digits and _")
            if not all("!" <= letter <= "~" for letter in first):
                raise _error(number, f"has the type {first!r}; a type is made of letters without a blank")
            yield number, command, first, second


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalnum()


def _error(number: int, what: str) -> InvalidError:
    return InvalidError(f"line {number} {what}")


class _Line:
    """The line that is read, word by word; an open quote or a backslash at its end brings the next one into it."""

    __slots__ = ("_at", "_line", "_next", "_text", "number")

    def __init__(self, text: str) -> None:
        self._text, self._line, self._at, self._next, self.number = text, "", 0, 0, 0

    def next(self) -> bool:
        """Begin with the next line; False where there is none."""
        self._line, self._at = "", 0
        return self._more()

    def keyword(self) -> str:
        """What the next command of the line begins with; "" where there is none."""
        self._skip(_SPACE if self._at == 0 else " \t")
        start = self._at
        while self._here not in ("", " ", "\t"):
            self._at += 1
        word, self._at = self._line[start : self._at], self._at + 1
        return "" if word.startswith("#") else word

    def word(self) -> str:
        """The next word of the command; "" where it ends."""
        self._skip(_SPACE)
        start, out = self._at, []
        if self._here == ";":
            self._at += 1
            return ""
        while (letter := self._here) and letter not in _SPACE:
            if letter in "'\"":
                self._quoted(letter, out)
            elif letter in "#;":
                # uci writes the end of a word over the `;` right behind it: the rest of the line is lost, as a comment.
                if letter == "#" or self._at - start == len(out):
                    self._line = self._line[: self._at]
                return "".join(out)
            elif letter != "\\" or self._escaped():
                self._take(out)
        self._at += 1
        return "".join(out)

    @property
    def _here(self) -> str:
        return self._line[self._at : self._at + 1]

    def _more(self) -> bool:
        newline = self._text.find("\n", self._next) + 1 or len(self._text)
        more = self._text[self._next : newline]
        self._line, self._next, self.number = self._line + more, newline, self.number + 1
        return bool(more)

    def _skip(self, letters: str) -> None:
        while self._here and self._here in letters:
            self._at += 1

    def _take(self, out: list[str]) -> None:
        out.append(self._here)
        self._at += 1

    def _quoted(self, quote: str, out: list[str]) -> None:
        number = self.number
        self._at += 1
        while (letter := self._here) != quote:
            if not letter:
                if not self._more():
                    raise _error(number, "opens a quote that nothing closes")
            elif letter != "\\" or quote == "'" or self._escaped():
                self._take(out)
        self._at += 1

    def _escaped(self) -> bool:
        """Pass over a backslash; False where the line ends after it, and goes on with the next one."""
        self._at += 1
        if self._line[self._at :] not in ("", "\n", "\r\n"):
            return True
        self._line = self._line[: self._at]
        self._more()
        return False
