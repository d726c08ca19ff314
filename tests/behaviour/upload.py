"""An upload over one TCP connection: `upload.py sink PORT` writes what comes to its standard output, `upload.py to
ADDRESS PORT` sends zeros for ever. Both end when the connection does."""

import shutil
import socket
import sys


def main(words: list[str]) -> None:
    if words[0] == "sink":
        with socket.create_server(("::", int(words[1])), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            connection, _ = server.accept()
        with connection.makefile("rb", buffering=0) as incoming:
            shutil.copyfileobj(incoming, sys.stdout.buffer.raw, 65536)
    else:
        with socket.create_connection((words[1], int(words[2]))) as sock:
            # Most hosts of the Internet use CUBIC.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            while True:
                sock.sendall(bytes(65536))


if __name__ == "__main__":
    main(sys.argv[1:])
