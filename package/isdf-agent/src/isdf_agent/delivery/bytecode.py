"""Bytecode of services, as a process of its own: this file with folders as its arguments.

OpenWrt's Python writes none, and a module that is not compiled takes 10 to 50 % more memory in each process. What is
written is never compared with its source again (PEP 552, "unchecked"), so it is made anew with each installation, and
goes with the package. A file that cannot be compiled is passed over: its service tells why, when it starts.

It stands between a purchase and its effect, so it imports next to nothing: `py_compile` takes five times as long.
"""

from __future__ import annotations

import marshal
import os
import sys

CACHE = "__pycache__"
_UNCHECKED = (1).to_bytes(4, "little")  # the flags of PEP 552: by a hash, which nobody checks


def forget(folder: str) -> None:
    """Remove the bytecode below `folder`, and whatever lies beside it; a folder that is not there is no error."""
    for path, below, files in os.walk(folder, topdown=False):
        if CACHE in path[len(folder) :].split(os.sep):
            for name in files + [name for name in below if os.path.islink(os.path.join(path, name))]:
                os.unlink(os.path.join(path, name))
            os.rmdir(path)


def fits(folder: str) -> bool:
    """Whether the modules in `folder` have bytecode of this Python; those below it are taken to be alike."""
    tag = sys.implementation.cache_tag
    names = [name for name in os.listdir(folder) if name.endswith(".py")]
    return all(os.path.exists(os.path.join(folder, CACHE, f"{name[:-3]}.{tag}.pyc")) for name in names)


def write(folder: str) -> None:
    """Compile the modules below `folder`, for everybody to read."""
    for path, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                try:
                    _compile(os.path.join(path, name))
                except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
                    print(f"{path}/{name} is not compiled: {error}", file=sys.stderr)


def _compile(path: str) -> None:
    from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash

    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path, "exec", dont_inherit=True)
    target = cache_from_source(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target + ".new", "wb") as file:
        file.write(MAGIC_NUMBER + _UNCHECKED + source_hash(source) + marshal.dumps(code))
    os.replace(target + ".new", target)


def main() -> int:
    os.umask(0o022)  # the agent's own hides what it writes
    for folder in sys.argv[1:]:
        try:
            forget(folder)
        except OSError as error:
            print(f"the bytecode of {folder} stays: {error}", file=sys.stderr)
        write(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
