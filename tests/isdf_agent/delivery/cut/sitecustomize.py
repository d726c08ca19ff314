"""Ends processes just before the N-th change of a file, for tests of power cuts.

Python imports this at its start where the folder is in PYTHONPATH. The environment says what is to be done:
CUT_LOG   a file that gets a line for each change that is about to be made
CUT_ROOT  only changes below this folder count; CUT_BUT (words) are folders in there of which none count
CUT_AT    at the line of this number (from 1; 0: never) those of CUT_WHOM are killed, before the change is made
CUT_WHOM  "all": every process that has this module; "agent": the agent alone, and its changes alone count
"""

import contextlib
import os
import signal
import sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MAKING = {"os.mkdir", "os.symlink", "os.link"}
OTHER = {"os.rename", "os.remove", "os.rmdir", "os.truncate"}


class Cut:
    def __init__(self, log, root, but, at, whom):
        self._log, self._root, self._but = log, root, but
        self._at, self._whom, self._busy = at, whom, False
        self._is_agent = "isdf_agent.app" in sys.orig_argv
        if self._is_agent:
            os.environ["CUT_AGENT"] = str(os.getpid())
        with open(f"{log}.pids", "a") as file:
            file.write(f"{os.getpid()}\n")
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if self._busy:
            return
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & WRITING or not isinstance(path, str | bytes | os.PathLike):
                return
            self._changes(event, path)
        elif event in MAKING or event in OTHER:
            self._changes(event, args[0] if event != "os.symlink" else args[1])

    def _changes(self, event, path):
        self._busy = True
        try:
            path = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else str(path)
            inside = path.startswith(self._root) and not path.startswith(self._but)
            vain = (event in MAKING and os.path.lexists(path)) or (event in OTHER and not os.path.lexists(path))
            if inside and not vain and (self._is_agent or self._whom == "all"):
                self._step(f"{event} {path.removeprefix(self._root)}")
        finally:
            self._busy = False

    def _step(self, what):
        """One line, and the end if it is the last one. Lines are appended in one piece, so their number is certain."""
        with open(self._log, "ab", buffering=0) as file:
            file.write(f"{what}\n".encode())
        with open(self._log, "rb") as file:
            steps = file.read().count(b"\n")
        if self._at and steps >= self._at:
            self._kill()

    def _kill(self):
        if self._whom == "agent":
            os.kill(int(os.environ["CUT_AGENT"]), signal.SIGKILL)
        else:
            with open(f"{self._log}.pids") as file:
                others = {int(pid) for pid in file} - {os.getpid()}
            for pid in filter(self._is_ours, others):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # the signal is on its way

    def _is_ours(self, pid):
        """Whether the process is there and still the one that wrote its number down."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"CUT_LOG={self._log}\0".encode() in file.read()
        except OSError:
            return False


if "CUT_LOG" in os.environ:
    Cut(
        os.environ["CUT_LOG"], os.environ["CUT_ROOT"], tuple(os.environ["CUT_BUT"].split()),
        int(os.environ["CUT_AT"]), os.environ["CUT_WHOM"],
    )  # fmt: skip
