"""The feed's packages as OpenWrt's build system sees them: found by its scanner's rule, built by a stand-in."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDROOT = Path(__file__).parent / "buildroot"
SIGNATURE = "call BuildPackage"  # OpenWrt include/scan.mk looks for these words


def tracked() -> list[Path]:
    """The files of the repository, those that are not committed yet included."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(words, capture_output=True, check=True).stdout.decode()
    return [path for name in said.split("\0") if name and (path := ROOT / name).is_file()]


def makefiles() -> list[Path]:
    """Every file that the scanner looks into: named Makefile, five folders deep at most."""
    return [p for p in tracked() if p.name == "Makefile" and len(p.relative_to(ROOT).parts) <= 5]


def found() -> list[Path]:
    """The folders that are packages to the scanner."""
    return [p.parent for p in makefiles() if re.search(r"call (Build/DefaultTargets|BuildPackage)", p.read_text())]


@dataclass(frozen=True)
class Built:
    """What a package's recipes made: the file system that it brings, and its fields and scripts."""

    root: Path

    @property
    def control(self) -> dict[str, str]:
        text = (self.root / "CONTROL/control").read_text()
        return {key: value.strip() for key, value in (line.split(":", 1) for line in text.splitlines())}

    @property
    def files(self) -> dict[str, int]:
        """Path on a router and mode of each file."""
        return {
            "/" + str(path.relative_to(self.root)): path.stat().st_mode & 0o7777
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.relative_to(self.root).parts[0] != "CONTROL"
        }

    def script(self, name: str) -> Path:
        return self.root / "CONTROL" / name


def build(folder: Path, destination: Path) -> Built:
    """Carry out the install recipe of the package in `folder`."""
    words = [f"TOPDIR={BUILDROOT}", f"DESTINATION={destination}", "install"]
    done = subprocess.run(["make", "-s", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Built(destination)
