"""One connection to the manager: HTTP/1.1 over TLS that believes one authority and no other, or over plain TCP.

`http.client` of the standard library, with nothing that a pinned connection must not have: no authority of the system,
no proxy and no password of the environment, no redirect, no cookie, no unpacking of what came packed. `requests` brings
all of these, adds the system's authorities to those of a context that it is given, and takes six times as long to load.

The dates of certificates are not looked at: a router without a battery does not know the date, and what ends the trust
in an authority is a keys statement of a higher version. Host names and addresses are.

References: RFC 9110, RFC 9112; OpenSSL `X509_VERIFY_PARAM_set_flags`.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
from urllib.parse import urlsplit

from isdf.errors import InvalidError, UnavailableError
from isdf.value import dataclass

from . import race

PATIENCE = 10.0  # seconds for a connection, and for each piece of an answer; the deadline on the whole is `deadline`
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, to which Python's `ssl` gives no name
_PIECE = 16384
_BESIDE = 65536  # bytes of an answer that are not its body: its head, those before it (1xx), what frames its pieces


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of the manager; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class UntrustedError(UnavailableError):
    """Whoever answers is not certified by the authority that this router knows."""


class Connection:
    """To the host of `manager`, made at the first `ask`, made anew where it was closed meanwhile; a context manager.

    `authority` has the certificates (PEM) that are believed, and may be what signed the server's own as well as an
    authority in between; None: nobody is asked who he is, for what proves itself. http is refused unless `insecure`.
    `known` is the address that served last, as in `race`.
    """

    def __init__(
        self, manager: str, authority: str | None, *, insecure: bool = False, known: str | None = None
    ) -> None:
        parts = urlsplit(manager)
        self._manager, self.prefix = manager, parts.path.rstrip("/")
        if parts.scheme == "https":
            context = _context(authority, manager)
            self._http = http.client.HTTPSConnection(
                parts.hostname, parts.port or 443, timeout=PATIENCE, context=context
            )
        elif insecure:
            self._http = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=PATIENCE)
        else:
            raise InvalidError(f"{manager} is not an https address; http needs option insecure '1'")
        # http.client leaves it open how a connection comes about.
        self._http._create_connection = lambda end, patience, source: race.connect(*end, known, patience)
        self._answered = False
        self.proved = parts.scheme == "https" and authority is not None
        """Whether who answers is certainly the manager."""
        self.ends: tuple[str, str] | None = None
        """Our address and the manager's, of the last connection that was made."""

    def ask(
        self, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None, limit: int = 65536
    ) -> Answer:
        """Whatever the manager answers, below its own prefix; `UnavailableError` for nothing, or over `limit` bytes."""
        self._http.response_class = functools.partial(_Response, limit + _BESIDE)
        try:
            return self._ask(method, path, body, headers or {}, limit)
        except _EndlessError:
            self._http.close()
            raise UnavailableError(f"the answer of the manager {self._manager} is longer than {limit} bytes") from None
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(
                f"the certificate of {self._manager} is not of the authority that this router knows "
                f"({error.verify_message})"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the manager {self._manager} does not answer: {_reason(error)}") from None

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str], limit: int) -> Answer:
        def begin() -> http.client.HTTPResponse:
            if self._http.sock is None:
                self._http.connect()
                self.ends = self._http.sock.getsockname()[0], self._http.sock.getpeername()[0]
            self._http.request(method, self.prefix + path, body or None, headers)
            return self._http.getresponse()

        try:
            reply = begin()
        except ConnectionError:
            self._http.close()
            if not self._answered or method != "GET":
                raise
            self._answered = False
            reply = begin()  # a server may close a connection that waits
        with reply:
            received = self._read(reply, limit)
        self._answered = True
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, received)

    def _read(self, reply: http.client.HTTPResponse, limit: int) -> bytes:
        pieces, size = [], 0
        while piece := reply.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise _EndlessError
            pieces.append(piece)
        length = reply.getheader("Content-Length")
        if length is not None and length != str(size) and reply.status != 304:
            raise UnavailableError(f"the manager's answer ended after {size} of {length} bytes")
        return b"".join(pieces)


class _EndlessError(Exception):
    """More came than was asked for."""


class _Response(http.client.HTTPResponse):
    """An answer of which no more than `most` bytes are read, of all that the other side may send.

    `http.client` itself reads what a chunk says that it has, without end where that is "-1", any number of answers
    "100 Continue", and trailers without end.
    """

    def __init__(self, most: int, sock: socket.socket, *args: object, **options: object) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Counted(self.fp.detach(), most))


class _Counted(io.RawIOBase):
    """`raw`, of which `most` bytes may be read; `_EndlessError` beyond them."""

    def __init__(self, raw: io.RawIOBase, most: int) -> None:
        super().__init__()
        self._raw, self._left = raw, most

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int | None:
        if self._left <= 0:
            raise _EndlessError
        got = self._raw.readinto(memoryview(room)[: self._left])
        self._left -= got or 0
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Context(ssl.SSLContext):
    def wrap_socket(self, sock: socket.socket, server_hostname: str, **more: object) -> ssl.SSLSocket:
        """Hands the name over as bytes: for text `ssl` takes the codec idna, a megabyte that is in another package."""
        return super().wrap_socket(sock, server_hostname=server_hostname.encode(), **more)


def _context(authority: str | None, manager: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # checks the host's name; knows no authority
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.hostname_checks_common_name = False
    context.verify_flags |= _NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError):
        raise UntrustedError(
            f"the keys of this router name no authority that could certify {manager}; "
            f"its operator sets one up (isdf-manager keys rotate authority)"
        ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection"
    if isinstance(error, http.client.BadStatusLine):
        return "it does not speak HTTP"
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
