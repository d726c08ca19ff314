"""The manager as this router knows it: requests over a connection that its keys statement vouches for.

The statement is replaced on the way, by one of a higher version that the catalogue key signed (`trusted`):
- where the certificate is not of the authority that this router knows: it may be that this one was replaced. The new
  statement is fetched from whoever answers, proves itself, and the request is tried once more.
- where an answer names a higher version (`Isdf-Keys`): it may be that the assignment key was replaced. The new
  statement is fetched before the answer is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from isdf.errors import IsdfError

from .connection import Answer, Connection, UntrustedError
from .request import accepted, send
from .trusted import KEYS_MAX, TrustedKeys


class Manager:
    """At the address `manager`; `newer(statement)` is called when a statement takes the place of the one before.
    `known`: as in `Connection`."""

    def __init__(
        self, manager: str, device_key: bytes, trusted: TrustedKeys, newer: Callable[[bytes], None], *,
        insecure: bool, known: str | None = None,
    ) -> None:  # fmt: skip
        self._known = known
        self._address, self._device_key, self._insecure = manager, device_key, insecure
        self._trusted, self._newer = trusted, newer
        self._connection = self._connect()

    def send(self, method: str, path: str, **request) -> Answer:
        """The answer to a signed request (see `request.send`), after the keys were brought up to date."""
        try:
            answer = send(self._connection, self._device_key, method, path, **request)
        except UntrustedError as error:
            if not self._renew(None):
                raise error from None
            answer = send(self._connection, self._device_key, method, path, **request)
        version = answer.headers.get("isdf-keys", "")
        if re.fullmatch("[0-9]{1,16}", version) and int(version) > self._trusted.keys.version:
            self._renew(self._connection)
        return answer

    @property
    def ends(self) -> tuple[str, str] | None:
        """Our address and the manager's, by which it may push to us."""
        return self._connection.ends

    def fetch(self, path: str, limit: int) -> bytes:
        """The file at `path`, of at most `limit` bytes. It needs no signature; a secret in `path` is not told."""
        name = path.rpartition("/")[2]
        return accepted(self._connection.ask("GET", path, limit=limit), f"the request for {name}").body

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _connect(self) -> Connection:
        return Connection(self._address, self._trusted.keys.authority, insecure=self._insecure, known=self._known)

    def _renew(self, connection: Connection | None) -> bool:
        """Whether there was a newer statement, fetched on `connection`, or (None) from whoever answers."""
        before = self._trusted.keys
        source = connection or Connection(self._address, None, insecure=self._insecure)
        try:
            statement = accepted(source.ask("GET", "/keys", limit=KEYS_MAX), "GET /keys").body
            if self._trusted.accept(statement) == before:
                return False
        except IsdfError:
            if connection is None:
                return False  # that he is not trusted is what is to be told
            raise
        finally:
            if connection is None:
                source.close()
        self._newer(statement)
        if self._trusted.keys.authority != before.authority:
            self._connection.close()
            self._connection = self._connect()
        return True
