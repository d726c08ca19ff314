"""A PostgreSQL of the test's own: an empty cluster in a folder of its own, on a Unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from served import wait_for

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Cluster:
    """Runs until `close`; `url()` is an empty database in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="isdf-postgresql-"))
        self._user = {}
        if os.getuid() == 0:  # which PostgreSQL refuses
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._run("initdb", "-D", "data", "-U", "isdf", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
        log = (self.folder / "log").open("w")
        words = ["-D", "data", "-k", str(self.folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        self._server = subprocess.Popen(
            [_PROGRAMS[-1] / "postgres", *words], cwd=self.folder, stdout=log, stderr=log, **self._user
        )
        log.close()
        wait_for(self._answers)
        self._count = 0

    def url(self) -> str:
        """The URL of a new database."""
        self._count += 1
        name = f"isdf{self._count}"
        self._run("createdb", "-h", str(self.folder), "-U", "isdf", name)
        return f"postgresql+psycopg://isdf@/{name}?host={self.folder}"

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(30)

    def close(self) -> None:
        if self._server.poll() is None:
            self._server.send_signal(2)  # "fast": without waiting for its clients
            self._server.wait(30)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        assert self._server.poll() is None, (self.folder / "log").read_text()
        words = [_PROGRAMS[-1] / "pg_isready", "-q", "-h", self.folder]
        return subprocess.run(words, cwd=self.folder, **self._user).returncode == 0

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [_PROGRAMS[-1] / program, *words], cwd=self.folder, capture_output=True, text=True, **self._user
        )
        assert done.returncode == 0, done.stderr
