"""Files on flash: each is replaced as a whole, survives a power cut, and is written only if it changes."""

from __future__ import annotations

import os


def replace(path: str | os.PathLike, data: bytes) -> bool:
    """Put `data` (mode 0600) at `path`, in a folder of mode 0700; False where it is there already.

    Written beside it, fsync, rename, fsync of the folder: whenever the power goes, the old or the new file is there.
    """
    path = os.fspath(path)
    if read(path) == data:
        return False
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o700)
        _sync(os.path.dirname(folder))
    beside = path + ".new"
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        if os.path.exists(beside):
            os.unlink(beside)  # a full flash must not stay full of halves
        raise
    _sync(folder)
    return True


def remove(path: str | os.PathLike) -> bool:
    """Take the file at `path` away; False where there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    _sync(os.path.dirname(os.fspath(path)))
    return True


def read(path: str | os.PathLike) -> bytes | None:
    """The file at `path`, None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
