"""The asking side of `top`: make hosts, boot them again, and let all of them go."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys

from isdf.errors import FailedError

from . import privilege

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Namespaces:
    """A context manager; `hold` makes a host and returns the pid of its holder. All ends when this process does."""

    def __init__(self) -> None:
        privilege.check()
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._channel.settimeout(20)
        with other:
            self._top = subprocess.Popen(
                [sys.executable, "-m", "premises.top", str(other.fileno())],
                pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/",
            )  # fmt: skip

    def hold(self, names: dict[str, dict]) -> dict[str, int]:
        """Pids of new hosts by name; the values of `names` say what each is (see `top`). `FailedError` if one fails."""
        for name, what in names.items():
            self._channel.send(json.dumps({"name": name, "router": False, "forward": False} | what).encode())
        pids = {}
        while len(pids) < len(names):
            data, ancillary, _, _ = self._channel.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size))
            if not data:
                raise FailedError("the process that makes namespaces ended; what it says is above")
            answer = json.loads(data)
            if "error" in answer:
                raise FailedError(answer["error"])
            pids[answer["ready"]] = _CREDENTIALS.unpack(ancillary[0][2][: _CREDENTIALS.size])[0]
        return pids

    @property
    def pid(self) -> int:
        return self._top.pid

    def close(self) -> None:
        """End everything in the namespaces and wait until the kernel has done it."""
        self._channel.close()
        self._top.wait()
