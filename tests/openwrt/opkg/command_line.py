"""opkg's command line: options anywhere, one sub-command, its words.

Reference: opkg-lede `src/opkg-cl.c`.
"""

import sys

from . import commands
from .console import Console
from .settings import Failed, Settings

_WITH_VALUE = {
    "conf-file": "f", "conf": "f", "dest": "d", "offline": "o", "offline-root": "o", "tmp-dir": "t", "lists-dir": "l",
    "add-arch": "add-arch", "add-dest": "add-dest", "cache": "cache", "verify-program": "verify-program",
}  # fmt: skip
_FLAGS = {
    "autoremove", "force-maintainer", "force-depends", "force-overwrite", "force-downgrade", "force-reinstall",
    "force-space", "force-removal-of-dependent-packages", "force-removal-of-essential-packages", "force-postinstall",
    "force-remove", "force-checksum", "force-signature", "no-check-certificate", "noaction", "download-only", "nodeps",
    "nocase", "size", "strip-abi", "query-all",
}  # fmt: skip
_SAME = {"recursive": "force-removal-of-dependent-packages", "test": "noaction", "A": "query-all", "i": "nocase"}
_LETTERS = "dfoptl"


class _Misuse(Exception):
    pass


def main(arguments):
    """What `opkg ARGUMENTS` does; the exit code."""
    console = Console()
    settings = Settings(console)
    try:
        words = _options(settings, arguments)
        if not words:
            raise _Misuse("opkg must have one sub-command argument")
        name = words.pop(0).replace("_", "-")
        if name == "version":
            return 0
        if name not in commands.COMMANDS:
            raise _Misuse(f"opkg: unknown sub-command {name}")
        settings.load()
        try:
            if name in commands.NEED_WORDS and not words:
                raise _Misuse(f"opkg: the ``{name}'' command requires at least one argument")
            return commands.COMMANDS[name](settings, words)
        finally:
            settings.release()
    except _Misuse as misuse:
        print(misuse, file=sys.stderr)
        print("usage: opkg [options...] sub-command [arguments...]\nsub-commands: " + " ".join(commands.COMMANDS))
        return 1
    except Failed:
        return commands.FAILED
    finally:
        console.finish()


def _options(settings, arguments):
    """Put the options into `settings`; the words that are left."""
    words, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return words + rest
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-") if len(name) > 1 else name
        if name in _LETTERS or name in _WITH_VALUE:
            if not equals and not rest:
                raise _Misuse(f"opkg: option '{word}' requires an argument")
            _take(settings, _WITH_VALUE.get(name, name), value if equals else rest.pop(0))
        elif name in _FLAGS or name in _SAME:
            settings.flags.add(_SAME.get(name, name).replace("-", "_"))
        elif name == "version" or name == "v":
            print("opkg version stand-in")
            return ["version"]
        elif name[:1] == "V" or name == "verbosity":
            level = value or name[1:] if name[:1] == "V" else value
            settings.console.verbosity = int(level) if level.isdigit() else 2
        elif not word.startswith("--") and name[0] in _LETTERS:
            _take(settings, name[0], word[2:])
        else:
            raise _Misuse(f"opkg: unrecognized option '{word}'\nopkg must have one sub-command argument")
    return words


def _take(settings, name, value):
    if name == "f":
        settings.conf_file = value
    elif name == "l":
        settings.lists_dir = value
    elif name == "d":
        settings.dest_name = value
    elif name in ("add-arch", "add-dest"):
        first, _, second = value.partition(":")
        if first and second and name == "add-arch":
            settings.architectures.append((first, int(second) if second.isdigit() else 0))
        elif first and second:
            settings.destinations.append((first, second))
    else:
        key = {"o": "offline_root", "t": "tmp_dir", "cache": "cache", "verify-program": "verify_program"}[name]
        settings.values[key] = value
