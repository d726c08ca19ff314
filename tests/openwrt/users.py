"""Run a piece of a test as another user. Needs root, or the root of a user namespace."""

import grp
import json
import os
import pwd
import sys
import traceback
from collections.abc import Callable


def as_user(user: str, function: Callable[[], object]) -> object:
    """What `function()` returns in a forked child of this process that belongs to `user`, in its first group.

    The result travels as JSON. An exception in the child is an `AssertionError` here, after its traceback.
    """
    found = pwd.getpwnam(user)
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        try:
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
