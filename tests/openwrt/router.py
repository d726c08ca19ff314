"""A router's root folder and a package feed: for the tests of opkg and of what calls it."""

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from isdf.formats import ipk, opkg_index, stanza

from .programs import program

_PASSWD = "root:x:0:0:root:/root:/bin/ash\n"
AGENT = {"Package": "isdf-agent", "Version": "0.1.0", "Status": "install user installed", "Architecture": "all"}
_CONF = "dest root /\nlists_dir ext /lists\narch all 1\noption check_signature\noption verify_program {verify}\n"


class Feed:
    """A signed feed served over HTTP on the loopback from the folder `path`; `usign` is the program that signs."""

    def __init__(self, path: Path, usign: list[str] | None = None) -> None:
        self.path, self._usign, self.requests = path, usign or program("usign"), []
        path.mkdir(parents=True)
        self.keys = path.with_name("keys")
        self.keys.mkdir()
        self._sign("-G", "-p", "key.pub", "-s", "key.sec")
        fingerprint = self._sign("-F", "-p", "key.pub").strip()
        shutil.copy(self.keys / "key.pub", self.keys / fingerprint)
        self.packages: dict[str, bytes] = {}
        seen = self.requests

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, code="-", size="-"):
                seen.append((self.command, self.path, int(code)))

            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=str(path))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, name: str, version: str = "1.0.0", **changes) -> Path:
        """Put a package into the feed (see `package`); `publish` makes the index of it."""
        filename = f"{name}_{version}_all.ipk"
        self.packages[filename] = package(name, version, **changes)
        (self.path / filename).write_bytes(self.packages[filename])
        return self.path / filename

    def publish(self, *, without: str = "") -> None:
        """Write and sign the index of all packages but the file `without`."""
        entries = []
        for filename, data in self.packages.items():
            if filename != without:
                control, digest = ipk.read(data).control, hashlib.sha256(data).hexdigest()
                entries.append(opkg_index.entry(control, filename, len(data), digest))
        self.sign(opkg_index.dump(entries))

    def sign(self, index: bytes) -> None:
        (self.path / "Packages").write_bytes(index)
        (self.path / "Packages.gz").write_bytes(opkg_index.compress(index))
        self._sign("-S", "-m", str(self.path / "Packages"), "-s", "key.sec", "-x", str(self.path / "Packages.sig"))

    def _sign(self, *words: str) -> str:
        argv = [*self._usign, *words]
        return subprocess.run(argv, cwd=self.keys, check=True, stdout=subprocess.PIPE, text=True).stdout


class Router:
    """The root folder `root` of a router that knows `feed`, and the `opkg` that works on it."""

    def __init__(self, root: Path, feed: Feed, opkg: list[str], *, compressed: bool = False) -> None:
        self.root, self.feed, self._opkg = root, feed, opkg
        for name in ("etc", "lib", "var/lock", "work", "tmp"):
            (root / name).mkdir(parents=True)
        (root / "etc/passwd").write_text(_PASSWD)
        (root / "etc/group").write_text("root:x:0:\n")
        (root / "etc/shadow").write_text("")
        shutil.copy(Path(__file__).with_name("functions.sh"), root / "lib/functions.sh")
        verify = root / "verify"
        usign = " ".join(feed._usign)
        check = f'{usign} -V -q -P {feed.keys} -x "$2" -m -'
        verify.write_text(f'#!/bin/sh\n(zcat "$3" 2>/dev/null || cat "$3") | {check}\n')
        verify.chmod(0o755)
        self.conf = root / "opkg.conf"
        source = "src/gz" if compressed else "src"
        self.conf.write_text(_CONF.format(verify=verify) + f"{source} isdf {feed.url}\n")

    def opkg(self, *words: object, **environment: str) -> tuple[int, list[str], list[str]]:
        """Exit code, lines of output and of errors of `opkg WORDS`, FEED and ROOT standing for the feed's address and
        the folder."""
        argv = [*self._opkg, "-f", str(self.conf), "-o", str(self.root), "--force-postinstall", *map(str, words)]
        settings = os.environ | {"IPKG_INSTROOT": str(self.root), "TMPDIR": str(self.root / "tmp")} | environment
        done = subprocess.run(argv, cwd=self.root / "work", env=settings, capture_output=True, text=True)
        return done.returncode, self._lines(done.stdout), self._lines(done.stderr)

    def installed(self, fields: dict[str, str]) -> None:
        """Note a package in the status file as installed, without files."""
        info = self.root / "usr/lib/opkg/info"
        info.mkdir(parents=True, exist_ok=True)
        (info / f"{fields['Package']}.list").write_text("")
        with (info.parent / "status").open("ab") as file:
            file.write(stanza.dump({**fields, "Installed-Time": str(int(time.time()))}) + b"\n")

    def status(self) -> dict[str, dict[str, str]]:
        """The status file by package, without the time."""
        path = self.root / "usr/lib/opkg/status"
        stanzas = stanza.parse(path.read_bytes()) if path.exists() else []
        for fields in stanzas:
            fields.pop("Installed-Time", None)
        return {fields["Package"]: fields for fields in stanzas}

    def info(self, package: str) -> dict[str, str]:
        """What opkg keeps of an installed package, by suffix."""
        return {path.suffix[1:]: path.read_text() for path in (self.root / "usr/lib/opkg/info").glob(f"{package}.*")}

    def service_files(self, service: str = "x") -> list[str]:
        """The names of the files of a service."""
        return sorted(path.name for path in (self.root / "usr/lib/isdf/services" / service).glob("*"))

    def _lines(self, text: str) -> list[str]:
        text = text.replace(self.feed.url, "FEED").replace(str(self.root), "ROOT").replace("//", "/")
        return [line.rstrip() for line in text.splitlines() if line.strip()]


def package(
    name: str,
    version: str = "1.0.0",
    *,
    files: dict[str, bytes] | None = None,
    scripts: dict[str, str] | None = None,
    **fields: str,
) -> bytes:
    """A package as a service's: `scripts` beside the two standard ones, `fields` with `_` for `-`."""
    service = name.removeprefix("isdf-service-")
    if files is None:
        files = {f"/usr/lib/isdf/services/{service}/service.py": f"version = {version!r}\n".encode()}
    control = {
        "Package": name, "Version": version, "Architecture": "all", "Description": "A service",
        **({"Require-User": f"isdf-{service}:isdf"} if service != name else {}),
        **{field.replace("_", "-"): value for field, value in fields.items()},
    }  # fmt: skip
    more = {script: body.encode() for script, body in (scripts or {}).items()}
    return ipk.build(
        control, [ipk.File(path, 0o644, data) for path, data in files.items()], {**ipk.STANDARD_SCRIPTS, **more}
    )
