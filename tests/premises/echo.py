"""Answer on a port, so that others can find out whether they reach it: `python -m premises.echo udp|tcp PORT`.

IPv4 and IPv6. It prints `ready`, and then the address of everybody who reached it, one a line.
"""

from __future__ import annotations

import socket
import sys


def main(kind: str, port: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", int(port)))
        if kind == "tcp":
            sock.listen()
        print("ready", flush=True)
        while True:
            if kind == "udp":
                data, peer = sock.recvfrom(2048)
                sock.sendto(data, peer)
            else:
                link, peer = sock.accept()
                link.close()
            print(peer[0].removeprefix("::ffff:"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
