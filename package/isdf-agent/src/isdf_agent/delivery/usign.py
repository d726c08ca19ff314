"""Ed25519 by the router's own `usign`: Python's standard library has no signatures.

Reference: usign `main.c`, `usign -V -q -m MESSAGE -p KEY -x SIGNATURE`; exit status 0 means that it verifies.
"""

from __future__ import annotations

import subprocess

from isdf.errors import UnavailableError
from isdf.formats.usign import PublicKey, Signature
from isdf.path import Path


class Usign:
    """A check as `trusted.Verify`. `begin` starts one ahead, so that several run beside each other and beside opkg."""

    def __init__(self, program: list[str], folder: Path) -> None:
        self._program, self._folder = program, folder
        self._begun: dict[tuple, subprocess.Popen] = {}
        self._count = 0

    def __call__(self, message: bytes, signature: Signature, key: PublicKey) -> bool:
        self.begin(message, signature, key)
        process = self._begun.pop((message, signature, key))
        return process.wait() == 0

    def begin(self, message: bytes, signature: Signature, key: PublicKey) -> None:
        """Start to check; the call with the same arguments gives the answer."""
        what = (message, signature, key)
        if what in self._begun:
            return
        self._count += 1
        names = {part: str(self._folder / f"verify-{self._count}.{part}") for part in ("m", "p", "x")}
        for part, data in (("m", message), ("p", key.dump().encode()), ("x", signature.dump().encode())):
            with open(names[part], "wb") as file:
                file.write(data)
        argv = [*self._program, "-V", "-q", *(word for part in names for word in (f"-{part}", names[part]))]
        try:
            self._begun[what] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise UnavailableError(f"{argv[0]} does not start, so no signature can be checked: {error}") from None
