"""Index and packages of this router's feed, through the package manager with nothing of its usual configuration.

opkg trusts any key in /etc/opkg/keys for every package and takes the best version of all feeds. So it gets a root of
its own: an empty one, with our configuration, our key, our lists, and a copy of what is installed, because it fetches
no package whose dependencies it cannot find. It installs nothing there; nor does it meet the lock of an opkg that a
user runs. Its exit codes are not believed, only the files that it leaves.

Its feed is a folder here (`src isdf file:...`), which the pull fills over its own connection, piece by piece and never
more than the assignment allows: opkg's wget would know neither the manager's authority nor a limit, would follow each
redirect, and would tell the secret of the feed in its arguments.

Reference: opkg-lede `libopkg/opkg_conf.c` (options), `opkg_cmd.c` (update, download), `opkg_download.c` (`file:`; calls
`VERIFY_PROGRAM verify SIGNATURE FILE`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from urllib.parse import quote

from isdf.errors import SignatureError, UnavailableError
from isdf.formats.usign import PublicKey
from isdf.path import Path

_CONF = """\
dest root /
lists_dir ext /lists
arch all 1
option check_signature 1
option verify_program {verify}
src isdf file:{feed}
"""
_VERIFY = """\
#!/bin/sh
exec {usign} -V -q -P {keys} -x "$2" -m "$3"
"""


class Feed:
    """opkg in `folder` (made anew, private), with an index that `key` signs. `status` is the router's status file."""

    def __init__(self, opkg: list[str], usign: list[str], folder: Path, *, key: PublicKey, status: Path) -> None:
        self._opkg, self._folder, self._feed = opkg, folder, folder / "feed"
        self._root, self._out = folder / "root", folder / "out"
        own = self._root / "usr/lib/opkg"
        folder.mkdir(mode=0o700)
        places = (self._root / "var/lock", self._root / "lists", own, folder / "keys", folder / "tmp")
        for path in (*places, self._out, self._feed):
            path.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(status, own / "status")
        (folder / "keys" / key.fingerprint.hex()).write_text(key.dump())
        verify = folder / "verify"
        verify.write_text(_VERIFY.format(usign=shlex.join(usign), keys=shlex.quote(str(folder / "keys"))))
        os.chmod(verify, 0o700)
        self._conf = folder / "opkg.conf"
        self._conf.write_text(_CONF.format(verify=verify, feed=quote(str(self._feed))))

    def index(self, packages: bytes, signature: bytes) -> bytes:
        """`Packages`, after opkg checked that `signature` is of it."""
        (self._feed / "Packages").write_bytes(packages)
        (self._feed / "Packages.sig").write_bytes(signature)
        output = self._run("update")
        try:
            return (self._root / "lists" / "isdf").read_bytes()
        except FileNotFoundError:
            if "Signature check failed" in output:
                raise SignatureError("the package index is not signed by the assignment key") from None
            raise UnavailableError(f"opkg did not take the package index: {_last(output)}") from None

    def download(self, packages: dict[str, tuple[str, bytes]]) -> dict[str, bytes]:
        """What opkg makes of each package, given the file name and the content of each."""
        for filename, content in packages.values():
            (self._feed / filename).write_bytes(content)
        output = self._run("download", *packages)
        found = {}
        for package, (filename, _) in packages.items():
            try:
                found[package] = (self._out / filename).read_bytes()
            except FileNotFoundError:
                raise UnavailableError(f"opkg did not take {filename}: {_last(output)}") from None
        return found

    def _run(self, *words: str) -> str:
        environment = os.environ | {"TMPDIR": str(self._folder / "tmp")}
        argv = [*self._opkg, "-f", str(self._conf), "-o", str(self._root), *words]
        try:
            done = subprocess.run(
                argv, cwd=self._out, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"{argv[0]} does not start: {error}") from None
        return done.stdout.decode(errors="replace")


def _last(output: str) -> str:
    lines = [line.strip(" *") for line in output.splitlines() if line.strip(" *")]
    return lines[-1][:300] if lines else "it said nothing"
