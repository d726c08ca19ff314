"""`serve`: the application under Granian, in this process, over TLS where the manager has a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import resource
import signal
import socket

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server as Listener

from isdf.errors import FailedError, InvalidError, IsdfError

from . import app, authority
from .accesslog import AccessLog
from .gateway import Gateway
from .home import Config, Home

log = logging.getLogger(__name__)
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})\Z")
_CONNECTIONS = 8000  # at once, on each address, and half of the files that may be open; more wait in the kernel's queue
_BACKLOG = 4096
_HEADER_SECONDS = 10  # for the head of a request; as long may a connection be idle
_HEADER_BYTES = 16384
_END_SECONDS = 5.0  # for answers that are on their way at the end
_LOOK = 0.1  # seconds between looks at the certificate: by then routers may have heard of another authority


class Server:
    """`run()` serves `home` on the addresses `listen` until SIGTERM or SIGINT.

    `InvalidError` names what is missing, or the address that cannot be had, before anything is open.
    """

    def __init__(self, home: Home, config: Config, listen: tuple[str, ...]) -> None:
        self._home, self._config = home, config
        self._addresses = [_address(text) for text in listen]
        home.storage(config).close()
        self._certificate = authority.server_certificate(home, config)
        self._mark = self._marked()
        self._trouble = ""

    def run(self) -> None:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._connections = min(_CONNECTIONS, most // 2 // len(self._addresses))
        application = app.Application(self._home, self._config, AccessLog())
        gateway = Gateway(application.wsgi, self._config.threads, inline=application.store.is_sqlite)
        application.start()
        try:
            asyncio.run(self._serve(gateway))
        finally:
            gateway.close()
            application.close()

    async def _serve(self, gateway: Gateway) -> None:
        """Listen until a signal; anew when the certificate is another one."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        ending: list[asyncio.Task] = []
        while not told.is_set():
            mark = self._mark
            listeners = [self._listener(gateway, *address) for address in self._addresses]
            tasks = [asyncio.create_task(listener.serve()) for listener in listeners]
            while not told.is_set() and self._mark == mark:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), _LOOK)
                for task in tasks:
                    if task.done():
                        task.result()
                        raise FailedError("the server stopped to listen")
                self._look()
            for listener in listeners:
                listener.stop()
            ending += tasks
        await asyncio.wait(ending, timeout=_END_SECONDS)

    def _listener(self, gateway: Gateway, host: str, port: int) -> Listener:
        certificate, key = self._certificate or (None, None)
        return Listener(
            gateway, host, port, interface=Interfaces.RSGI, http=HTTPModes.http1, websockets=False,
            backlog=_BACKLOG, backpressure=self._connections, log_enabled=False,
            http1_settings=HTTP1Settings(header_read_timeout=_HEADER_SECONDS * 1000, max_buffer_size=_HEADER_BYTES),
            ssl_cert=certificate, ssl_key=key, ssl_protocol_min=SSLProtocols.tls12,
        )  # fmt: skip

    def _look(self) -> None:
        """Have the certificate that is in force now; a failure keeps the one before."""
        try:
            if self._marked() != self._mark:
                self._certificate = authority.server_certificate(self._home, self._config)
                self._mark = self._marked()
        except (IsdfError, OSError) as error:
            if str(error) != self._trouble:
                log.error("the certificate stays as it is: %s", error)
            self._trouble = str(error)

    def _marked(self) -> tuple:
        """Another one when there is another authority, or another certificate in the files."""
        times = (file.stat().st_mtime_ns for file in self._certificate or ())
        return self._home.keyring.statement.keys.authority, *times


def _address(text: str) -> tuple[str, int]:
    """The address and the port of `text`, free to listen on."""
    match = _ADDRESS.match(text)
    if not match:
        raise InvalidError(f"--listen {text!r} is not of the form '[::]:8080' or '127.0.0.1:8080'")
    try:
        found = socket.getaddrinfo(match[1] or match[2] or "::", int(match[3]), type=socket.SOCK_STREAM)[0]
        # Granian shares a port with whoever else does, without a word: two managers would.
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except (OSError, OverflowError) as error:
        raise InvalidError(f"--listen {text!r} cannot be had: {getattr(error, 'strerror', error)}") from None
    return found[4][:2]
