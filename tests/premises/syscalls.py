"""The system calls for namespaces and mounts that Python's os module lacks (before 3.12, or altogether).

Sources: unshare(2), setns(2), mount(2), pivot_root(2), mount_setattr(2), prctl(2). Each raises OSError with the errno
and names what it was about.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_SILENT, MS_PRIVATE = 4096, 8192, 16384, 32768, 1 << 18
MNT_DETACH = 2
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_RECURSIVE, _AT_FDCWD, _MOUNT_ATTR_RDONLY = 0x8000, -100, 1
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME = 1, 4, 15

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _call("unshare", _libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, kind: int = 0) -> None:
    _call("setns", _libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = [text.encode() if text else None for text in (source, target, kind)]
    result = _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() if data else None)
    _call(f"mount of {kind or source} on {target}", result)


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show the tree `source` at `target`, with all that is mounted in it.

    Recursive because a user namespace may not uncover what a mount of its parent's hides.
    """
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        result = _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), target.encode(), ctypes.c_uint(_AT_RECURSIVE),
            attributes, ctypes.c_size_t(len(attributes)),
        )  # fmt: skip
        _call(f"making {target} read-only", result)


def umount(target: str) -> None:
    _call(f"umount of {target}", _libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)))


def pivot_root(new: str, old: str) -> None:
    _call(f"pivot_root to {new}", _libc.pivot_root(new.encode(), old.encode()))


def set_hostname(name: str) -> None:
    _call("sethostname", _libc.sethostname(name.encode(), ctypes.c_size_t(len(name.encode()))))


def set_process_name(name: str) -> None:
    """What `ps -o comm` shows; the kernel keeps 15 bytes of it."""
    _call("prctl", _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0))


def die_with_parent() -> None:
    """SIGKILL when the thread that forked this process ends."""
    _call("prctl", _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0))


def set_dumpable() -> None:
    """Undo what a change of credentials does, so that the user who started all this may look at /proc/PID/root."""
    _call("prctl", _libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0))
