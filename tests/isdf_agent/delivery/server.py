"""The operator of `simulator` behind real HTTP, with the faults that a test orders."""

import contextlib
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from simulator import DEVICE_KEY, SECRET

import openwrt
from isdf.formats import claim
from isdf.wire import content_digest, derive, verify_request

ROOT = ("bin", "etc/opkg", "lib", "tmp", "usr/lib/opkg/info", "usr/sbin", "var/lock", "var/run")


class Server(ThreadingHTTPServer):
    """`log` has method and path of each request; `faults` answer in place of the server, by the end of the path.

    `tls`: the context with which it speaks TLS.
    """

    daemon_threads = True

    def __init__(self, operator, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.operator, self.log, self.faults, self.reports = operator, [], {}, []
        self.reported = threading.Event()
        self.device_key = DEVICE_KEY
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_address[1]}"

    def paths(self):
        """The names asked for since the last call, without the folders."""
        log, self.log = self.log, []
        return [path.rpartition("/")[2] for _, path in log]

    def get_request(self):
        connection, address = super().get_request()
        if self.tls:  # shakes hands when the handler reads: one slow client must not keep the others waiting
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        pass  # routers hang up


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.server.operator.issued)

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def handle_one_request(self):
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_GET(self):
        self.server.log.append(("GET", self.path))
        for end, fault in self.server.faults.items():
            if self.path.endswith(end):
                fault(self)
                return
        if self.path == "/keys":
            self.answer(200, self.server.operator.keys())
        elif not self.path.startswith("/feed/"):
            self.assignment()
        else:
            self.feed()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.log.append(("POST", self.path))
        for end, fault in self.server.faults.items():
            if self.path.endswith(end):
                fault(self)
                return
        if self.path == "/enroll":
            self.enroll(json.loads(body))
        elif self.path == "/enroll/seal":
            self.seal(json.loads(body))
        elif not self.signed(body):
            self.answer(401)
        else:
            self.server.reports.append(json.loads(body))
            self.server.reported.set()
            self.answer(204)

    def problem(self, status, kind):
        self.answer(status, json.dumps({"type": kind, "detail": f"it is {kind}"}).encode())

    def enroll(self, told):
        operator = self.server.operator
        if told["token"] != operator.token.hex():
            self.problem(403, "unknown-claim")
        elif operator.claimed not in (None, told["key"]):
            self.problem(409, "claimed")
        else:
            operator.claimed = told["key"]
            self.answer(200, json.dumps({"device": operator.device, "line": operator.line}).encode())

    def seal(self, told):
        operator = self.server.operator
        secret = claim.secret(operator.token)
        if secret[: claim.NAME_SIZE].hex() != told["claim"]:
            self.problem(403, "unknown-claim")
            return
        seal = claim.seal(secret, bytes.fromhex(told["nonce"]), operator.keys())
        self.answer(200, json.dumps({"seal": seal}).encode())

    def signed(self, body=b""):
        headers = [self.headers[f"Isdf-{name}"] or "" for name in ("Time", "Nonce", "Signature")]
        claimed = self.server.operator.claimed
        key = derive(bytes.fromhex(claimed) if claimed else self.server.device_key, "request")
        return verify_request(key, self.command, self.path, content_digest(body), *headers)

    def assignment(self):
        operator = self.server.operator
        etag = f'"{operator.digest()}"'
        if not self.signed():
            self.answer(401)
        elif self.path != f"/device/{operator.device}/assignment":
            self.answer(404)
        elif self.headers["If-None-Match"] == etag:
            self.answer(304, ETag=etag, Isdf_Keys=str(operator.keys_version))
        else:
            self.answer(200, operator.assignment(), ETag=etag, Isdf_Keys=str(operator.keys_version))

    def feed(self):
        operator = self.server.operator
        folder, _, name = self.path.rpartition("/")
        index = operator.packages_file()
        files = {"Packages": index, "Packages.gz": gzip.compress(index), "Packages.sig": operator.index_signature()}
        body = (files | operator.packages).get(name)
        known = folder == f"/feed/{operator.device}/{SECRET}/{operator.statement().index_sha256}"
        self.answer(200, body) if known and body is not None else self.answer(404)


def make_root(folder):
    """The root of a router with nothing installed but the agent."""
    for path in ROOT:
        (folder / path).mkdir(parents=True, exist_ok=True)
    (folder / "lib/functions.sh").write_bytes((Path(openwrt.__file__).parent / "functions.sh").read_bytes())
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    status = "Package: isdf-agent\nVersion: 0.1.0\nStatus: install user installed\nArchitecture: all\n\n"
    (folder / "usr/lib/opkg/status").write_text(status)
    (folder / "usr/lib/opkg/info/isdf-agent.list").touch()
    (folder / "usr/lib/opkg/info").mkdir(exist_ok=True)
    (folder / "usr/lib/opkg/info/isdf-agent.list").write_text("")
    return folder
