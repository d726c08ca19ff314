"""Somebody on the way between home and manager, who changes one byte of what passes: `python -m bad_input.tamper`.

What to change is read from /run/tamper.json for each answer: `{"path": regular expression, "byte": position}`; a
negative position counts from the end.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
import socket
import ssl
from pathlib import Path

ORDERS, READY, PORT = Path("/run/tamper.json"), Path("/run/tamper.ready"), 8081
CERTIFICATE = Path("/run/tamper.pem")  # with its key
MANAGER = ("198.51.100.18", 8080)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        manager = http.client.HTTPSConnection(*MANAGER, timeout=10, context=_trusting())
        manager.request(self.command, self.path, body, dict(self.headers))
        answer = manager.getresponse()
        data = bytearray(answer.read())
        orders = json.loads(ORDERS.read_text())
        if data and re.search(orders["path"], self.path):
            data[orders["byte"]] ^= 1
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        manager.close()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Its tests look at the router."""


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4

    def get_request(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        connection, address = super().get_request()
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


if __name__ == "__main__":
    server = Server(("", PORT), Handler)
    READY.touch()
    server.serve_forever()
