"""One supervised process of the stand-in procd: its description, its start, its end and what follows of it.

Reference: openwrt/procd `service/instance.c`. A description with a fault makes an instance that is never started and
not listed. As with procd, `no_new_privs` is shown and has no effect outside of a jail, and there are no jails here; a
user that does not exist makes the process root's. The process dies with procd, however procd dies.
"""

import ctypes
import grp
import hashlib
import os
import pwd
import re
import resource
import signal
import sys
import time
from pathlib import Path

from isdf.ubus import blobmsg

_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here, because a child between fork and exec must not
_PR_SET_PDEATHSIG = 1
_LIMITS = {"as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "rss", "stack", "nice", "rtprio",
           "msgqueue", "sigpending"}  # fmt: skip
_HANDLED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD
SIGNALLED = 128  # added to the signal that ended a process, in `exit_code`


def number(text: object) -> int:
    """What C's atoi makes of an element: 0 of anything but text that begins with digits."""
    found = re.match(r"\s*([+-]?\d+)", text) if isinstance(text, str) else None
    return int(found[1]) if found else 0


class Description:
    """The table `instances.<name>` of `service set`, read as strictly as procd reads it."""

    def __init__(self, table: dict) -> None:
        def get(name: str, kind: type, default=None):
            value = table.get(name)
            return value if type(value) is kind else default

        self.command = get("command", list)
        self.env, self.limits = get("env", dict, {}), get("limits", dict, {})
        self.data = get("data", dict, {})
        self.errors, files = get("error", list, []), get("file", list, [])
        self.respawn = "respawn" in table and type(table["respawn"]) is list
        given = [number(value) for value in get("respawn", list, [])[:3]]
        # Defaults only where the element `respawn` is there at all.
        self.threshold, self.timeout, self.retry = given + [3600, 5, 5][len(given) :] if self.respawn else (0, 0, 0)
        self.reload_signal, self.term_timeout = get("reload_signal", int, 0), get("term_timeout", int, 5)
        self.stdout, self.stderr = get("stdout", bool, False), get("stderr", bool, False)
        self.no_new_privs, self.nice = get("no_new_privs", bool, False), get("nice", int, 0)
        self.pidfile = get("pidfile", str)
        self.user, self.group, self.uid, self.gid, self.user_gid = None, None, 0, 0, 0
        self._names(get("user", str), get("group", str))
        jail = get("jail", dict, {})
        texts = (self.command or [], self.env.values(), self.limits.values(), self.errors, files)
        self.valid = (
            all(isinstance(value, str) for values in texts for value in values)
            and self.command != []
            and -20 <= self.nice <= 20
            and not (jail.get("requirejail") is True and not os.path.exists("/sbin/ujail"))
        )
        # A changed file is a changed description.
        self._files = {path: _digest(path) for path in files if isinstance(path, str)}

    def _names(self, user: str | None, group: str | None) -> None:
        # A name that the system does not know is passed over, and the process is root's: so does procd.
        try:
            if user:
                found = pwd.getpwnam(user)
                self.user, self.uid, self.gid, self.user_gid = user, found.pw_uid, found.pw_gid, found.pw_gid
        except KeyError:
            pass
        try:
            if group:
                self.group, self.gid = group, grp.getgrnam(group).gr_gid
        except KeyError:
            pass

    def differs(self, other: "Description") -> bool:
        """Whether a running process must be exchanged; not for other `data`, `stdout` or `stderr`."""
        passed_over = ("data", "stdout", "stderr", "respawn", "valid", "env", "limits")
        mine, others = ({k: v for k, v in vars(d).items() if k not in passed_over} for d in (self, other))
        tables = ((self.env, other.env), (self.limits, other.limits))
        return not self.valid or mine != others or any(_seen(one) != _seen(two) for one, two in tables)


def _seen(table: dict) -> list[tuple[int, bytes]]:
    """What procd compares of each entry: its length, and its bytes but for the last four (`blobmsg_list_equal`)."""
    entries = sorted(table.items(), key=lambda item: item[0].encode())
    # Head, name with its length and its NUL, padded to four bytes; text and its NUL.
    lengths = [4 + (len(name.encode()) + 6) // 4 * 4 + len(value.encode()) + 1 for name, value in entries]
    encoded = [blobmsg.encode({name: value}) for name, value in entries]
    return [(length, data[: length - 4]) for length, data in zip(lengths, encoded, strict=True)]


def _digest(path: str) -> str | None:
    try:
        return hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()
    except OSError:
        return None


class Instance:
    """States: running, stopping (`halt`), waiting to be respawned (a timer), ended."""

    def __init__(self, procd, service, name: str, wanted: Description) -> None:
        self.service, self.name, self.wanted = service, name, wanted
        self.pid: int | None = None
        self.exit_code = self.respawn_count = 0
        self.halt = self.restart = False
        self._procd, self._timer, self._started = procd, None, 0
        self.respawn = wanted.respawn

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        if self.wanted.errors or self.wanted.command is None:
            self._procd.say(f"Not starting instance {self.service.name}::{self.name}, it has errors or no command")
        elif self.running:
            self.restart = self.restart or self.halt
        else:
            self.restart = self.halt = False
            if self.wanted.valid:
                self._spawn()

    def update(self, wanted: Description) -> None:
        """Take over another description; the process is exchanged only where it differs."""
        idle, changed = not self.running or self.halt, self.wanted.differs(wanted)
        self.wanted, self.respawn = wanted, wanted.respawn
        if idle:
            self.start()
        elif changed:
            self._exchange()

    def stop(self, halt: bool) -> None:
        """End the process; with `halt` the instance too, and by SIGKILL after `term_timeout`."""
        if not self.running:
            if halt:
                self._delete()
            return
        self.halt, self.restart, self.respawn = halt, False, False
        self._terminate()

    def signal(self, number: int) -> None:
        """Send a signal; `ProcessLookupError` if there is no process."""
        if not self.running:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """The process has ended with `status`, as of waitpid."""
        runtime = int(time.monotonic()) - self._started
        code = os.waitstatus_to_exitcode(status)
        self.exit_code = code if code >= 0 else SIGNALLED - code
        self._cancel()
        self._procd.notify("instance.stop", {"service": self.service.name, "instance": self.name})
        pid, self.pid = self.pid, None
        again = self.restart
        if self.halt:
            if self.wanted.pidfile:
                Path(self.wanted.pidfile).unlink(missing_ok=True)
            if not again:
                self._delete()
        elif not again and self.respawn:
            self.respawn_count = self.respawn_count + 1 if runtime < self.wanted.threshold else 0
            if 0 < self.wanted.retry < self.respawn_count:
                self._procd.say(
                    f"Instance {self.service.name}::{self.name} is in a crash loop: {self.respawn_count} crashes, "
                    f"{runtime} seconds since the last"
                )
                self.respawn, self.halt = False, True
                self._tell_exit("instance.fail", pid)
            else:
                self._tell_exit("instance.respawn", pid)
                self._timer = self._procd.loop.after(self.wanted.timeout, self._time_is_up)
        if again:
            self.start()

    def as_dict(self) -> dict:
        """The instance as `service list` shows it."""
        wanted = self.wanted
        shown = {"running": self.running}
        if self.running:
            shown["pid"] = self.pid
        if wanted.command is not None:
            shown["command"] = wanted.command
        shown["term_timeout"] = wanted.term_timeout
        if not self.running:
            shown["exit_code"] = self.exit_code
        for name, value in (("errors", wanted.errors), ("env", wanted.env), ("data", wanted.data),
                            ("limits", wanted.limits), ("reload_signal", wanted.reload_signal)):  # fmt: skip
            if value:
                shown[name] = value
        if self.respawn:
            shown["respawn"] = {"threshold": wanted.threshold, "timeout": wanted.timeout, "retry": wanted.retry}
        for name, value in (("no_new_privs", wanted.no_new_privs), ("pidfile", wanted.pidfile),
                            ("user", wanted.user), ("group", wanted.group)):  # fmt: skip
            if value:
                shown[name] = value
        return shown

    # -- inside -----------------------------------------------------------------------------------------------------

    def _exchange(self) -> None:
        if self.wanted.reload_signal:
            os.kill(self.pid, self.wanted.reload_signal)
            return
        self.halt = self.restart = True
        self._terminate()

    def _terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._cancel()
        self._timer = self._procd.loop.after(self.wanted.term_timeout, self._time_is_up)

    def _time_is_up(self) -> None:
        if self.halt and self.running:
            name = f"{self.service.name}::{self.name}"
            self._procd.say(f"Instance {name} pid {self.pid} not stopped on SIGTERM, sending SIGKILL instead")
            os.kill(self.pid, signal.SIGKILL)
        elif self.restart or self.respawn:
            self.start()

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _delete(self) -> None:
        self._cancel()
        del self.service.instances[self.name]
        self.service.stopped()

    def _tell_exit(self, event: str, pid: int) -> None:
        told = {"service": self.service.name, "instance": self.name, "pid": pid, "exit_code": self.exit_code,
                "respawn_count": self.respawn_count, "command": self.wanted.command}  # fmt: skip
        self._procd.notify(event, told)

    def _spawn(self) -> None:
        pipes = [os.pipe() if wanted else None for wanted in (self.wanted.stdout, self.wanted.stderr)]
        parent = os.getpid()
        # Held back until the child has no handlers of ours any more, so that none is lost in them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if not pid:
            try:
                self._become(parent, *(pipe and pipe[1] for pipe in pipes))
            except BaseException as error:
                os.write(2, f"procd: {self.service.name}: {error}\n".encode())
            finally:
                os._exit(127)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self.pid, self._started = pid, int(time.monotonic())
        ident = f"{os.path.basename(self.wanted.command[0])}[{pid}]"
        for pipe, priority in zip(pipes, ("info", "err"), strict=True):
            if pipe:
                os.close(pipe[1])
                self._procd.follow(pipe[0], priority, ident)
        self._procd.watch_child(pid, self.ended)
        if self.wanted.pidfile:
            Path(self.wanted.pidfile).write_text(f"{pid}\n")
        self._procd.notify("instance.start", {"service": self.service.name, "instance": self.name})

    def _become(self, parent: int, stdout: int | None, stderr: int | None) -> None:
        """Turn the forked child into the command."""
        wanted = self.wanted
        for handled in (*_HANDLED, signal.SIGPIPE):  # Python ignores the last, and ignoring is inherited
            signal.signal(handled, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        if wanted.nice:
            os.setpriority(os.PRIO_PROCESS, 0, wanted.nice)
        for name, value in wanted.limits.items():
            _limit(name, value)
        null = os.open("/dev/null", os.O_RDWR)
        for target, source in ((0, null), (1, stdout or null), (2, stderr or null)):
            os.dup2(source, target)
        if wanted.user and wanted.user_gid:
            os.initgroups(wanted.user, wanted.user_gid)
        if wanted.gid:
            os.setgid(wanted.gid)
        if wanted.uid:
            os.setuid(wanted.uid)
        # Last, because a change of user clears it.
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
        os.execvpe(wanted.command[0], wanted.command, os.environ | wanted.env)


def _limit(name: str, value: str) -> None:
    if name not in _LIMITS:
        return
    which = getattr(resource, f"RLIMIT_{name.upper()}")
    if value == "unlimited":
        limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    else:
        given = [number(word) for word in value.split()[:2]]
        limits = (*given, *resource.getrlimit(which)[len(given) :])
    try:
        resource.setrlimit(which, limits)
    except (ValueError, OSError) as error:
        print(f"procd: limit {name} {value}: {error}", file=sys.stderr)
