"""libnftables by ctypes: one batch of commands is one transaction of the kernel, without a fork.

They are loaded with the first command: 0.7 MB that an agent with nothing to do goes without.

Reference: libnftables(3), nft(8), linux/netfilter/nf_tables.h. A fork of `nft` takes 64 ms on a 400 MHz MIPS, a batch
here 4.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from collections.abc import Callable

from isdf.errors import KernelError

_JSON, _NUMERIC_PROTO = 1 << 4, 1 << 7  # NFT_CTX_OUTPUT_*
_NETFILTER, _GET_TABLE, _INET, _NAME = 12, 10 << 8 | 1, 1, 1  # NETLINK_, NFT_MSG_GETTABLE, NFPROTO_, NFTA_TABLE_NAME
_REQUEST, _ERROR = 1, 2  # NLM_F_REQUEST, NLMSG_ERROR
_NLMSG = struct.Struct("=IHHIIi")  # and the status that follows it in an error
_TABLE = struct.Struct("=IHHIIBBHHH")  # struct nlmsghdr, nfgenmsg, nlattr


class Nft:
    """A context of libnftables in the network namespace of its first use. Not for several threads."""

    def __init__(self) -> None:
        self._lib = self._context = None
        self.ran: Callable[[], None] = lambda: None  # what was to be changed has been

    def run(self, commands: str) -> None:
        """Carry out `commands` as a whole, or not at all: then `KernelError` with what the kernel said."""
        self._run(commands, 0)
        self.ran()

    def read(self, command: str) -> list[dict]:
        """The objects that a `list` command gives (libnftables-json(5)), protocols as numbers."""
        return json.loads(self._run(command, _JSON | _NUMERIC_PROTO))["nftables"]

    def has(self, table: str) -> bool:
        """Whether the table `inet NAME` is there; the library is not needed to know that."""
        name = table.removeprefix("inet ").encode() + b"\0"
        size = _TABLE.size + len(name)
        request = _TABLE.pack(size, _GET_TABLE, _REQUEST, 0, 0, _INET, 0, 0, 4 + len(name), _NAME) + name
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as asked:
                asked.send(request)
                _, kind, _, _, _, status = _NLMSG.unpack_from(asked.recv(4096))
        except OSError as error:
            raise KernelError(f"nftables does not answer: {error.strerror}") from None
        if kind == _ERROR and -status != errno.ENOENT:
            raise KernelError(f"nftables does not tell whether there is a table {table}: {os.strerror(-status)}")
        return kind != _ERROR

    def close(self) -> None:
        if self._context:
            self._lib.nft_ctx_free(self._context)
            self._context = None

    def _load(self) -> None:
        import ctypes

        try:
            self._lib = lib = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise KernelError(f"libnftables cannot be loaded ({error}); install nftables") from None
        lib.nft_ctx_new.restype = ctypes.c_void_p
        lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(lib, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(lib, name).argtypes = [ctypes.c_void_p]
            getattr(lib, name).restype = ctypes.c_char_p
        lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._context = lib.nft_ctx_new(0)
        lib.nft_ctx_buffer_output(self._context)
        lib.nft_ctx_buffer_error(self._context)

    def _run(self, commands: str, flags: int) -> str:
        if not self._context:
            self._load()
        self._lib.nft_ctx_output_set_flags(self._context, flags)
        status = self._lib.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = self._lib.nft_ctx_get_output_buffer(self._context).decode(errors="replace")
        error = self._lib.nft_ctx_get_error_buffer(self._context).decode(errors="replace")
        if status != 0:
            lines = [line.strip() for line in error.splitlines() if line.strip()]
            reason = lines[0].removeprefix("Error: ") if lines else "no reason given"
            about = f" (at: {lines[1][:120]})" if len(lines) > 1 else ""
            raise KernelError(f"nftables refused the change: {reason}{about}")
        return output
