"""Somebody on the way between home and manager, who changes one byte of what passes: `python -m bad_input.tamper`.

What to change is read from /run/tamper.json for each answer: `{"path": regular expression, "byte": position}`; a
negative position counts from the end.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
from pathlib import Path

ORDERS, READY, PORT = Path("/run/tamper.json"), Path("/run/tamper.ready"), 8081
MANAGER = ("198.51.100.18", 8080)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        manager = http.client.HTTPConnection(*MANAGER, timeout=10)
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


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    READY.touch()
    server.serve_forever()
