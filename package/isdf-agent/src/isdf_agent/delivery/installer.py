"""The package manager opkg as an `Installer`: packages are installed from files that `trusted` accepted.

What opkg says and its exit code are not believed; its status file is read afterwards. It runs with a configuration that
names no feed, so that nothing of another feed comes along, not even a dependency. A lock that a user's opkg holds is
waited for; and so is an opkg that an agent before this one began, before anything is decided: opkg itself waits for no
lock, so one that has not got it is gone, and none can come after what is decided here.

Reference: opkg-lede `libopkg/opkg_install.c`, `opkg_conf.c` (the lock), `pkg.c` (the status file).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from isdf.formats.assignment import PREFIX
from isdf.log import Log
from isdf.loop import Loop
from isdf.path import Path
from isdf.process import SAME

from . import bytecode

log = Log(__name__)

_CONF = "dest root /\narch all 1\n"
# A power cut leaves files that belong to no package, and opkg refuses to write over them. What a package may write
# over is bounded by the look into it: its own folder.
_INSTALL = ["--force-downgrade", "--force-overwrite"]
# With another root than / opkg leaves maintainer scripts out, and with them the package's user; OpenWrt's build of root
# file systems calls it so, too, and tells the scripts in the environment where the root is.
_ROOTED = "--force-postinstall"


class Opkg:
    """opkg on `root` (/ on a router), with its configuration in `folder`."""

    RETRY = 0.5  # seconds between looks at a lock

    def __init__(
        self, loop: Loop, *, program: list[str], root: Path, folder: Path,
        patience: float = 60.0, timeout: float = 120.0,
    ) -> None:  # fmt: skip
        self._loop, self._program, self._root = loop, program, root
        self._folder, self._patience, self._timeout = folder, patience, timeout

    def prepare(self, done: Callable[[None], None]) -> None:
        """Wait for an opkg of an agent before this one; compile services where Python is another one than it was."""
        until = self._loop.after(self._patience, lambda: None)

        def look() -> None:
            if self._is_locked() and until.active:
                self._loop.after(self.RETRY, look)
                return
            until.cancel()
            folders = [self._folder_of(package) for package in self.installed()]
            self._compile([f for f in folders if f.is_dir() and not bytecode.fits(str(f))], lambda: done(None))

        look()

    def installed(self) -> dict[str, str]:
        """Version of each installed package of a service, by opkg's status file; what is half installed is not."""
        try:
            text = (self._root / "usr/lib/opkg/status").read_text(errors="replace")
        except FileNotFoundError:
            return {}
        found = {}
        for stanza in text.split("\n\n"):
            if f"Package: {PREFIX}" not in stanza:  # of hundreds; another may speak of one
                continue
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
            is_installed = fields.get("Status", "").split()[-1:] == ["installed"]
            if fields["Package"].startswith(PREFIX) and is_installed:
                found[fields["Package"]] = fields.get("Version", "")
        return found

    def install(self, packages: dict[str, tuple[str, Path]], done: Callable[[dict[str, str]], None]) -> None:
        """All at once; where opkg leaves some out, these one by one, for one may have stopped the others."""
        wrong = self._forget(packages)
        alone = [package for package in packages if package not in wrong]

        def tried(failures: dict[str, str]) -> None:
            wrong.update(failures)
            if alone:
                package = alone.pop()
                self._install({package: packages[package]}, tried)
                return
            for package, why in wrong.items():
                log.error("opkg did not install %s: %s", package, why)
            self._compile([self._folder_of(p) for p in packages if p not in wrong], lambda: done(wrong))

        def tried_together(failures: dict[str, str]) -> None:
            several = len(alone) > 1
            alone[:] = [package for package in alone if several and package in failures]
            tried({} if several else failures)

        self._install({package: packages[package] for package in alone}, tried_together)

    def _install(self, packages: dict[str, tuple[str, Path]], done: Callable[[dict[str, str]], None]) -> None:
        before = self.installed()
        again = any(before.get(package) == version for package, (version, _) in packages.items())

        def ended(output: str) -> None:
            now = self.installed()
            done({p: _why(output) for p, (version, _) in packages.items() if now.get(p) != version})

        options = [*_INSTALL, *(["--force-reinstall"] if again else [])]
        self._run([*options, "install", *(str(path) for _, path in packages.values())], ended, bool(packages))

    def remove(self, packages: list[str], done: Callable[[dict[str, str]], None]) -> None:
        wrong, before = self._forget(packages), self.installed()
        there = [package for package in packages if package in before and package not in wrong]

        def ended(output: str) -> None:
            now = self.installed()
            for package in there:
                for folder, _, _ in os.walk(self._folder_of(package), topdown=False):  # opkg leaves them
                    try:
                        os.rmdir(folder)
                    except OSError:
                        pass
            done(wrong | {package: _why(output) for package in there if package in now})

        self._run(["remove", *there], ended, bool(there))

    def _forget(self, packages: Iterable[str]) -> dict[str, str]:
        """Remove the bytecode of `packages`; why that of one is still there: it would be run in the place of others."""
        wrong = {}
        for package in packages:
            try:
                bytecode.forget(str(self._folder_of(package)))
            except OSError as error:
                wrong[package] = f"{error.filename} cannot be removed: {error.strerror or error}"
        return wrong

    def _folder_of(self, package: str) -> Path:
        return self._root / "usr/lib/isdf/services" / package.removeprefix(PREFIX)

    def _compile(self, folders: list[Path], done: Callable[[], None]) -> None:
        if not folders:
            done()
            return
        argv = [sys.executable, "-IS", bytecode.__file__, *map(str, folders)]
        try:
            self._loop.child(argv, lambda status, printed: done(), timeout=self._timeout)
        except OSError as error:  # without it a service takes more memory, and no more
            log.warning("%s are not compiled: %s", ", ".join(folder.name for folder in folders), error)
            done()

    def _is_locked(self) -> bool:
        try:
            fd = os.open(self._root / "var/lock/opkg.lock", os.O_RDWR)
        except OSError:
            return False
        try:
            os.lockf(fd, os.F_TEST, 0)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def _run(self, words: list[str], done: Callable[[str], None], needed: bool) -> None:
        if not needed:
            done("")
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / "none").mkdir(exist_ok=True)
        conf = self._folder / "install.conf"
        conf.write_text(_CONF)
        # opkg puts its root before the folder of its lists.
        argv = [*self._program, "-f", str(conf), "-l", "/" + str((self._folder / "none").relative_to(self._root))]
        environment = os.environ | {"OPKG_CONF_DIR": str(self._folder / "none")}
        if self._root != Path("/"):
            argv += ["-o", str(self._root), _ROOTED]
            environment["IPKG_INSTROOT"] = str(self._root)
            (self._root / "var/lock").mkdir(parents=True, exist_ok=True)
        until = self._loop.after(self._patience, lambda: None)

        def attempt() -> None:
            try:
                self._loop.child(argv + words, ended, timeout=self._timeout, env=environment, stderr=SAME)
            except OSError as error:
                done(f"{argv[0]} does not start: {error.strerror or error}")

        def ended(status: int, printed: bytes) -> None:
            output = printed.decode(errors="replace")
            if "Could not lock" in output and until.active:
                self._loop.after(self.RETRY, attempt)
                return
            until.cancel()
            done(output)

        attempt()


def _why(output: str) -> str:
    """What opkg calls errors, or else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.lstrip("* ") for line in lines if line.startswith("*")]
    return "; ".join(errors)[:500] or (lines[-1][:500] if lines else "opkg said nothing")
