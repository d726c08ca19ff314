"""A mirror or application server: the files of a folder by HTTP/1.1, many clients at once, IPv4 and IPv6.

`python -m premises.mirror [PORT] [FOLDER]`
"""

from __future__ import annotations

import functools
import http.server
import socket
import sys
from pathlib import Path

# Most servers of the Internet use CUBIC; a machine whose default is another one gives other figures.
_CONGESTION_CONTROL = b"cubic"


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """A download is no news."""

    def copyfile(self, source, outputfile) -> None:
        try:
            super().copyfile(source, outputfile)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has what it wanted


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _CONGESTION_CONTROL)
        super().server_bind()

    def server_activate(self) -> None:
        self.socket.listen(128)


def main(port: str = "80", folder: str = "/srv") -> None:
    server = Server(("::", int(port)), functools.partial(Handler, directory=folder))
    Path("/run/http.ready").touch()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
