"""Other users for a test: root's, or those of a user namespace that an ordinary user has (user_namespaces(7)).

In there he is root, and his ids of /etc/subuid are the system's other users. What is started outside by his own user
is root's for those inside, so a test may stay outside.
"""

import atexit
import functools
import grp
import json
import os
import pwd
import subprocess
import sys
import traceback
from collections.abc import Callable

from premises import privilege, syscalls


def as_root() -> list[str]:
    """The words before a command that start it as root: none for root, for others those that enter their namespace."""
    pid = _namespace()
    return ["nsenter", "-U", "-t", str(pid), "--"] if pid else []


def as_user(user: str, function: Callable[[], object]) -> object:
    """What `function()` returns in a forked child of this process that belongs to `user`, in its first group.

    The result travels as JSON. An exception in the child is an `AssertionError` here, after its traceback.
    """
    found, namespace = pwd.getpwnam(user), _namespace()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        try:
            if namespace:
                syscalls.setns(os.open(f"/proc/{namespace}/ns/user", os.O_RDONLY), syscalls.CLONE_NEWUSER)
            os.setgroups([])
            os.setgid(found.pw_gid)
            os.setuid(found.pw_uid)
            os.write(writing, json.dumps(function()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert answer, f"it failed as {user}; its traceback is above"
    return json.loads(answer)


def first_group(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


@functools.cache
def _namespace() -> int | None:
    """The process that holds the user namespace until this one ends, None for root."""
    if privilege.is_root():
        return None
    privilege.check()
    holder = subprocess.Popen(
        ["unshare", "-U", "--map-root-user", "--map-auto", "sh", "-c", "echo ready; read -r _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(holder.communicate)
    assert holder.stdout.readline() == b"ready\n", "unshare could not map this user's ids"
    return holder.pid
