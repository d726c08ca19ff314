"""A program as a child process: as much of `subprocess` as a router needs, without half a megabyte of it."""

from __future__ import annotations

import os
import signal

SAME = 1  # as `stderr`: where the output goes


class Process:
    """`argv` runs in a session of its own; `stdin`, `stdout` and `stderr` are descriptors (None: as ours).

    `OSError` when it does not start. `returncode` is None while it runs, negative for a signal.
    """

    def __init__(
        self, argv: list[str], *, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        given = enumerate((stdin, stdout, stderr))
        actions = [(os.POSIX_SPAWN_DUP2, own, target) for target, own in given if own is not None]
        environment = os.environ if env is None else env
        # Python passes over a broken pipe's signal; other programs end by it.
        self.pid = os.posix_spawnp(
            argv[0], argv, environment, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE]
        )
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status if it has ended."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        return self._wait(0)

    def kill(self) -> None:
        """Kill it and what it started; when it has been waited for, its number may be another's already."""
        if self.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)

    def _wait(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:  # somebody else has waited for it; nobody knows any more how it ended
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode
