"""Files from a feed: `file:` and `http:` with the least of code, everything else (https, proxies, redirects) by urllib.

OpenWrt's opkg starts `wget` for each; its exit status is part of the error that opkg prints: 4 for a network that
fails, 8 for a server that refuses.
"""

import os

NETWORK, SERVER = 4, 8
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


def fetch(url, path, timeout, check=True):
    """Write what is at `url` to `path`; 0, or the exit status that wget would have. `check`: certificates, too."""
    plain = url.startswith("http://") and "@" not in url and not any(os.environ.get(name) for name in _PROXIES)
    try:
        status, body = _plain(url, timeout) if plain else (0, b"")
        if not 200 <= status < 300:
            if plain and not 300 <= status < 400:
                return SERVER
            status, body = _any(url, timeout, check)
    except OSError:
        return NETWORK
    if status >= 400:
        return SERVER
    with open(path, "wb") as file:
        file.write(body)
    return 0


def _plain(url, timeout):
    """Status and body of `GET url` by HTTP/1.0 (RFC 1945, with Host)."""
    import socket

    host, slash, path = url.removeprefix("http://").partition("/")
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, "80"
    connection = socket.create_connection((name.strip("[]"), int(port)), timeout)
    with connection:
        request = f"GET {slash or '/'}{path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: opkg\r\nAccept: */*\r\n\r\n"
        connection.sendall(request.encode())
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    for field in fields:
        field_name, _, value = field.partition(":")
        if field_name.lower() == "content-length" and int(value) != len(body):
            raise OSError("the answer was cut")
    return int(first.split()[1]) if first.startswith("HTTP/1.") else 500, body


def _any(url, timeout, check):
    import base64
    import ssl
    import urllib.error
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        context = ssl.create_default_context() if check else ssl._create_unverified_context()
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, b""
