"""A path as text with methods: as much of `pathlib.Path` as a router needs.

What is here means what it means there. The original brings `urllib.parse` and `ipaddress`: 0.6 MB of the agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator


class Path(str):
    """`Path("/etc") / "isdf"`; wherever text is wanted, it is its own."""

    __slots__ = ()

    def __new__(cls, *parts: str) -> Path:
        joined = os.path.join(*parts)
        kept = "/".join(part for part in joined.split("/") if part not in ("", "."))
        return super().__new__(cls, ("/" if joined.startswith("/") else "") + kept or ".")

    def __truediv__(self, other: str) -> Path:
        return Path(self, other)

    @property
    def parent(self) -> Path:
        return Path(os.path.dirname(self) or ".")

    @property
    def name(self) -> str:
        return os.path.basename(self)

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]

    def with_name(self, name: str) -> Path:
        return self.parent / name

    def with_suffix(self, suffix: str) -> Path:
        return self.with_name(self.stem + suffix)

    def relative_to(self, other: str) -> Path:
        """`ValueError` where it is not below `other`."""
        if self == other:
            return Path(".")
        start = other if other.endswith("/") else other + "/"
        if not self.startswith(start):
            raise ValueError(f"{self} is not below {other}")
        return Path(self[len(start) :])

    def exists(self) -> bool:
        return os.path.exists(self)

    def is_file(self) -> bool:
        return os.path.isfile(self)

    def is_dir(self) -> bool:
        return os.path.isdir(self)

    def iterdir(self) -> Iterator[Path]:
        return (self / name for name in os.listdir(self))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if parents and not self.parent.exists():
            self.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.mkdir(self, mode)
        except FileExistsError:
            if not (exist_ok and self.is_dir()):
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            os.unlink(self)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def read_bytes(self) -> bytes:
        with open(self, "rb") as file:
            return file.read()

    def read_text(self, errors: str = "strict") -> str:
        with open(self, encoding="utf-8", errors=errors) as file:
            return file.read()

    def write_bytes(self, data: bytes) -> None:
        with open(self, "wb") as file:
            file.write(data)

    def write_text(self, text: str) -> None:
        with open(self, "w", encoding="utf-8") as file:
            file.write(text)
