"""Index and packages of this router's feed, fetched by the package manager with nothing of its usual configuration.

opkg trusts any key in /etc/opkg/keys for every package and takes the best version of all feeds. So it gets a root of
its own: an empty one, with our configuration, our key, our lists, and a copy of what is installed, because it fetches
no package whose dependencies it cannot find. It installs nothing there; nor does it meet the lock of an opkg that a
user runs. Its exit codes are not believed, only the files that it leaves.

Reference: opkg-lede `libopkg/opkg_conf.c` (options), `opkg_cmd.c` (update, download), `opkg_download.c` (calls
`VERIFY_PROGRAM verify SIGNATURE FILE`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from isdf.errors import SignatureError, UnavailableError
from isdf.formats.usign import PublicKey

_CONF = """\
dest root /
lists_dir ext /lists
arch all 1
option check_signature 1
option http_timeout 10
option verify_program {verify}
src isdf {url}
"""
_VERIFY = """\
#!/bin/sh
exec {usign} -V -q -P {keys} -x "$2" -m "$3"
"""
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE")


class Feed:
    """opkg on the feed at `url`, whose index `key` signs, in `folder` (made anew, private).

    `status` is the router's own status file; `secret` is masked in what opkg says.
    """

    def __init__(
        self, opkg: list[str], usign: list[str], folder: Path, *, url: str, secret: str, key: PublicKey, status: Path
    ) -> None:
        self._opkg, self._folder, self._secret = opkg, folder, secret
        self._root, self._out = folder / "root", folder / "out"
        shutil.rmtree(folder, ignore_errors=True)
        own = self._root / "usr/lib/opkg"
        for path in (self._root / "var/lock", self._root / "lists", own, folder / "keys", folder / "tmp", self._out):
            path.mkdir(parents=True)
        folder.chmod(0o700)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(status, own / "status")
        (folder / "keys" / key.fingerprint.hex()).write_text(key.dump())
        verify = folder / "verify"
        verify.write_text(_VERIFY.format(usign=shlex.join(usign), keys=shlex.quote(str(folder / "keys"))))
        verify.chmod(0o700)
        self._conf = folder / "opkg.conf"
        self._conf.write_text(_CONF.format(verify=verify, url=url))

    def index(self) -> bytes:
        """`Packages`, after opkg checked its signature."""
        output = self._run("update")
        try:
            return (self._root / "lists" / "isdf").read_bytes()
        except FileNotFoundError:
            if "Signature check failed" in output:
                raise SignatureError("the package index is not signed by the assignment key") from None
            raise UnavailableError(f"opkg did not get the package index: {_last(output)}") from None

    def download(self, packages: dict[str, str]) -> dict[str, bytes]:
        """The content of each package, given the file name of each."""
        output = self._run("download", *packages)
        found = {}
        for package, filename in packages.items():
            try:
                found[package] = (self._out / filename).read_bytes()
            except FileNotFoundError:
                raise UnavailableError(f"opkg did not get {filename}: {_last(output)}") from None
        return found

    def _run(self, *words: str) -> str:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["TMPDIR"] = str(self._folder / "tmp")
        argv = [*self._opkg, "-f", str(self._conf), "-o", str(self._root), *words]
        try:
            done = subprocess.run(
                argv, cwd=self._out, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"{argv[0]} does not start: {error}") from None
        return done.stdout.decode(errors="replace").replace(self._secret, "***")


def _last(output: str) -> str:
    lines = [line.strip(" *") for line in output.splitlines() if line.strip(" *")]
    return lines[-1][:300] if lines else "it said nothing"
