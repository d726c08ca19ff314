"""`serve`: the application under Granian, in this process, over TLS where the manager has a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from dataclasses import dataclass

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.server.embed import Server as Granian

from isdf.errors import FailedError, IsdfError

from . import app, authority
from .accesslog import AccessLog
from .gateway import Gateway
from .home import Config, Home
from .port import Port

log = logging.getLogger(__name__)
_CONNECTIONS = 8000  # at once, on each address; more wait in the kernel
_OTHER_FILES = 256  # that are no connections; with two certificates there are twice as many of those
_BACKLOG = 4096
_HEADER_SECONDS = 10  # for the head of a request; as long may a connection be idle
_HEADER_BYTES = 16384
_END_SECONDS = 5.0  # for answers that are on their way at the end
_FINISH_SECONDS = 25.0  # for a connection to get to its first request: Granian's 10 for a handshake, and the head's 10
_LOOK = 0.1  # seconds between looks at the certificate: by then routers may have heard of another authority


class Listener(Granian):
    """Granian on a socket that is there; the socket stays open after it."""

    def __init__(self, sock: socket.socket, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        self._socket = sock

    def _init_shared_socket(self) -> None:
        self._ssp, self._shd = None, SocketHolder(os.dup(self._socket.fileno()), False, _BACKLOG)


@dataclass(frozen=True)
class Serving:
    """What listens on a port with one certificate."""

    port: Port
    socket: socket.socket
    listener: Listener
    task: asyncio.Task


class Server:
    """`run()` serves `home` on the addresses `listen` until SIGTERM or SIGINT.

    Clients can connect from the beginning. They are answered when a request that is signed then is taken, 1.25 s later
    at the most. `InvalidError` names what is missing, or the address that cannot be had, before anything is open.
    """

    def __init__(self, home: Home, config: Config, listen: tuple[str, ...]) -> None:
        self._home, self._config = home, config
        home.storage(config).close()
        self._certificate = authority.server_certificate(home, config)
        self._mark = self._marked()
        self._trouble = ""
        self._ports = [Port(text, _BACKLOG) for text in listen]
        self._finishing: set[asyncio.Task] = set()

    def run(self) -> None:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        if os.access(key := self._home.catalogue_key, os.R_OK):
            log.warning("%s brings code to every router and is not needed here: move it, see publish --key", key)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._connections = min(_CONNECTIONS, (most - _OTHER_FILES) // 2 // len(self._ports))
        # After the ports are had: what the process before took is older than this.
        application = app.Application(self._home, self._config, AccessLog())
        gateway = Gateway(application.wsgi, self._config.threads, inline=application.store.is_sqlite)
        application.start()
        try:
            asyncio.run(self._serve(application, gateway))
        finally:
            gateway.close()
            application.close()

    async def _serve(self, application: app.Application, gateway: Gateway) -> None:
        """Listen until a signal; anew when the certificate is another one."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        while not told.is_set() and (pause := application.pause()):
            await _wait(told, pause)
        if told.is_set():
            return
        serving = [self._listen(gateway, port, port.newest) for port in self._ports]
        while not told.is_set():
            await _wait(told, _LOOK)
            for one in serving:
                if one.task.done():
                    one.task.result()
                    raise FailedError("the server stopped to listen")
            if self._look():
                self._finish(serving, told)
                serving = [self._listen(gateway, port, port.renew()) for port in self._ports]
        for port in self._ports:
            port.close()
        self._finish(serving, told)
        await asyncio.wait(self._finishing, timeout=_END_SECONDS)

    def _listen(self, gateway: Gateway, port: Port, sock: socket.socket) -> Serving:
        certificate, key = self._certificate or (None, None)
        listener = Listener(
            sock, gateway, interface=Interfaces.RSGI, http=HTTPModes.http1, websockets=False,
            backpressure=self._connections, log_enabled=False,
            http1_settings=HTTP1Settings(header_read_timeout=_HEADER_SECONDS * 1000, max_buffer_size=_HEADER_BYTES),
            ssl_cert=certificate, ssl_key=key, ssl_protocol_min=SSLProtocols.tls12,
        )  # fmt: skip
        return Serving(port, sock, listener, asyncio.create_task(listener.serve()))

    def _finish(self, serving: list[Serving], told: asyncio.Event) -> None:
        """Let `serving` end when its connections had the time to ask what they came for."""

        async def finish(one: Serving) -> None:
            await _wait(told, _FINISH_SECONDS)
            one.listener.stop()
            await asyncio.wait([one.task])
            if not told.is_set():
                one.port.leave(one.socket)

        for one in serving:
            task = asyncio.create_task(finish(one))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    def _look(self) -> bool:
        """Have the certificate that is in force now; whether it is another one. A failure keeps the one before."""
        before = self._mark
        try:
            if self._marked() != before:
                self._certificate = authority.server_certificate(self._home, self._config)
                self._mark = self._marked()
        except (IsdfError, OSError) as error:
            if str(error) != self._trouble:
                log.error("the certificate stays as it is: %s", error)
            self._trouble = str(error)
        return self._mark[1:] != before[1:]

    def _marked(self) -> tuple:
        """The authorities that are in force, and when the files of the certificate were written."""
        times = (file.stat().st_mtime_ns for file in self._certificate or ())
        return self._home.keyring.statement.keys.authority, *times


async def _wait(told: asyncio.Event, seconds: float) -> None:
    """Until `told`, or for `seconds`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), seconds)
