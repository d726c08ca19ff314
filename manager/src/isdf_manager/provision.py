"""Provision hooks: the ISP's core is told before a service is sold, and when its time is over.

A hook is an executable or a URL in manager.yaml, by the name of the service:

    provision:
      pay-per-site: {command: [/usr/local/sbin/edge-rate], timeout: 10}
      vpn: {url: "https://core.example/isdf", key: a-long-secret}

It gets one JSON object, on stdin or as the body of a POST: `verb` (provision, withdraw), `order`, `device`, `service`,
`configuration`, `until` (Unix seconds or null). `provision` comes again with another configuration to change an order;
either verb may come twice, and `withdraw` also for what was never provisioned: a hook is idempotent by order. Done is
exit status 0 or HTTP 2xx. An executable also finds ISDF_VERB, ISDF_ORDER, ISDF_DEVICE and ISDF_SERVICE in its
environment. A POST is signed as routers' requests are (`isdf.wire.sign_request`, key: HMAC key in UTF-8).
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from isdf import wire
from isdf.errors import FailedError, InvalidError

PAUSES = (0.2, 0.8)  # seconds before the second and the third try
_MAX_TIMEOUT = 300.0  # seconds for each try
LONGEST = _MAX_TIMEOUT * (len(PAUSES) + 1) + sum(PAUSES)  # seconds that any hook may take
_MAX_SAID = 2000  # bytes of what a hook says that are looked at


class HookError(FailedError):
    """The hook did not do what it was asked; `never` says that it cannot even have begun."""

    slug, title = "provision-failed", "The ISP's core did not take the order"

    def __init__(self, sentence: str, never: bool = False) -> None:
        super().__init__(sentence)
        self.never = never


@dataclass(frozen=True, slots=True)
class Request:
    """What a hook is told."""

    verb: str
    order: str
    device: str
    service: str
    configuration: dict
    until: int | None

    def body(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in Request.__slots__}, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Hook:
    """An executable (`command`) or a `url` with its `key`; `timeout` in seconds for each try."""

    command: tuple[str, ...] = ()
    url: str = ""
    key: bytes = b""
    timeout: float = 10.0

    def call(self, request: Request) -> None:
        """One try; `HookError` says what the hook said."""
        if self.command:
            self._run(request)
        else:
            self._post(request)

    def patiently(self, request: Request, sleep: Callable[[float], None] = time.sleep) -> None:
        """A few quick tries; the last one's `HookError`, `never` only where no try can have begun."""
        begun = False
        for pause in (*PAUSES, None):
            try:
                return self.call(request)
            except HookError as error:
                begun = begun or not error.never
                if pause is None or error.never:
                    error.never = not begun
                    raise
            sleep(pause)
        return None

    @property
    def name(self) -> str:
        """For a sentence: never with a password that the URL may hold."""
        return self.command[0] if self.command else f"{urlsplit(self.url).scheme}://{urlsplit(self.url).hostname}"

    @property
    def longest(self) -> float:
        """Seconds that `patiently` may take."""
        return self.timeout * (len(PAUSES) + 1) + sum(PAUSES)

    def _run(self, request: Request) -> None:
        names = {f"ISDF_{name.upper()}": getattr(request, name) for name in ("verb", "order", "device", "service")}
        # Files, not pipes: a daemon that the hook leaves behind would hold a pipe open for ever.
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as output:
            told.write(request.body())
            told.seek(0)
            try:
                process = subprocess.Popen(
                    self.command, stdin=told, stdout=output, stderr=subprocess.STDOUT, env=os.environ | names,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise HookError(f"the hook {self.name} cannot be run: {error.strerror}", never=True) from None
            try:
                status = process.wait(self.timeout)
            except BaseException as error:  # also an interrupt: nothing of it goes on once the claim is over
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise HookError(f"the hook {self.name} did not end within {self.timeout:g} s") from None
            output.seek(max(0, output.seek(0, os.SEEK_END) - _MAX_SAID))
            said = _one_line(output.read(_MAX_SAID))
        if status != 0:
            raise HookError(f"the hook {self.name} ended with status {status}" + (f" and said: {said}" if said else ""))

    def _post(self, request: Request) -> None:
        import requests  # takes 100 ms, and most managers have no such hook

        body = request.body()
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        now, nonce, digest = int(time.time()), secrets.token_hex(16), wire.content_digest(body)
        headers = {
            "Content-Type": "application/json",
            "Content-Digest": digest,
            "Isdf-Time": str(now),
            "Isdf-Nonce": nonce,
            "Isdf-Signature": wire.sign_request(self.key, "POST", path, digest, now, nonce),
        }
        answers: queue.SimpleQueue = queue.SimpleQueue()

        def post() -> None:
            try:
                with requests.post(
                    self.url, body, headers=headers, timeout=self.timeout, allow_redirects=False, stream=True
                ) as answer:
                    ok = 200 <= answer.status_code < 300
                    answers.put((answer.status_code, b"" if ok else next(answer.iter_content(_MAX_SAID), b"")))
            except Exception as error:
                answers.put((None, type(error).__name__))

        # A thread, because the timeout of `requests` begins anew with each byte and each address.
        threading.Thread(target=post, daemon=True).start()
        try:
            status, said = answers.get(timeout=self.timeout)
        except queue.Empty:
            raise HookError(f"the hook {self.name} did not answer within {self.timeout:g} s") from None
        if status is None:
            raise HookError(f"the hook {self.name} does not answer: {said}")
        if not 200 <= status < 300:
            said = _one_line(said)
            raise HookError(f"the hook {self.name} answered {status}" + (f": {said}" if said else ""))


def parse_hooks(values: object, folder: Path) -> dict[str, Hook]:
    """The hooks of manager.yaml's `provision` by service; a command with a slash is relative to `folder`."""
    if not isinstance(values, dict):
        raise InvalidError("provision is not a table of services and their hooks")
    return {str(service): _parse_hook(f"provision.{service}", value, folder) for service, value in values.items()}


def _parse_hook(where: str, value: object, folder: Path) -> Hook:
    if not isinstance(value, dict) or set(value) - {"command", "url", "key", "timeout"}:
        raise InvalidError(f"{where} is not a table of 'command', or 'url' and 'key', and 'timeout'")
    command, url, key, timeout = (value.get(k) for k in ("command", "url", "key", "timeout"))
    if isinstance(command, str):
        command = [command]
    if (command is None) == (url is None):
        raise InvalidError(f"{where} needs either 'command' or 'url'")
    timeout = 10.0 if timeout is None else timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0.1 <= timeout <= _MAX_TIMEOUT:
        raise InvalidError(f"{where}.timeout is {timeout!r}; it takes 0.1 to 300 seconds")
    if command is not None:
        if not isinstance(command, list) or not command or not all(isinstance(c, str) and c for c in command):
            raise InvalidError(f"{where}.command is not a list of texts")
        program = str(folder / command[0]) if "/" in command[0] else command[0]
        return Hook(command=(program, *command[1:]), timeout=float(timeout))
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InvalidError(f"{where}.url is {url!r}, not an http or https address")
    if not isinstance(key, str) or len(key) < 16:
        raise InvalidError(
            f"{where}.key is missing or short: the other side knows by it who calls (16 characters or more)"
        )
    return Hook(url=url, key=key.encode(), timeout=float(timeout))


def _one_line(said: bytes) -> str:
    """The last line of what a hook said, for a sentence."""
    lines = said.decode(errors="replace").strip().splitlines()
    return "".join(c for c in lines[-1] if c.isprintable())[:300] if lines else ""
