"""Real traffic for the tests, as processes of a namespace; questions and answers are lines of JSON.

send ADDRESS PORT                    a TCP server that sends as fast as each connection takes it
receive ADDRESS PORT                 a TCP client of it: {"seconds": s} -> {"kBps": payload rate during s}
sink ADDRESS PORT                    a TCP server that receives: the same question
push ADDRESS PORT                    a TCP client that sends to it
udp-echo-sink ADDRESS PORT           counts datagrams: {} -> {"received": n, "lost": n, "late": n}
udp-send ADDRESS PORT KBPS           numbered datagrams of 1000 bytes at a rate: {"stop": true} -> {"sent": n}
"""

import json
import select
import socket
import sys
import threading
import time


def say(**answer):
    print(json.dumps(answer), flush=True)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Counted:
    """Bytes received so far, counted by threads of their own."""

    def __init__(self):
        self.total = 0

    def drain(self, connection):
        while data := connection.recv(1 << 16):
            self.total += len(data)

    def serve(self):
        for line in sys.stdin:
            seconds, before, begun = json.loads(line)["seconds"], self.total, time.monotonic()
            select.select([], [], [], seconds)
            say(kBps=(self.total - before) / (time.monotonic() - begun) / 1000)


def thread(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def blast(connection):
    data = bytes(1 << 16)
    try:
        while True:
            connection.sendall(data)
    except OSError:
        connection.close()


def accept(server, serve):
    while True:
        thread(serve, server.accept()[0])


def listen(address, port):
    return socket.create_server((address, port), family=family(address), backlog=16)


def main():
    mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    counted = Counted()
    if mode == "send":
        thread(accept, listen(address, port), blast)
        say(ready=True)
        sys.stdin.read()
    elif mode == "sink":
        thread(accept, listen(address, port), counted.drain)
        say(ready=True)
        counted.serve()
    elif mode in ("receive", "push"):
        connection = socket.create_connection((address, port), timeout=10)
        connection.settimeout(None)
        thread(counted.drain if mode == "receive" else blast, connection)
        say(ready=True)
        counted.serve()
    elif mode == "udp-sink":
        udp = socket.socket(family(address), socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind((address, port))
        say(ready=True)
        seen, highest, late = 0, -1, 0
        while True:
            readable, _, _ = select.select([udp, sys.stdin], [], [])
            if udp in readable:
                number = int.from_bytes(udp.recv(2000)[:8], "big")
                seen, late, highest = seen + 1, late + (number < highest), max(number, highest)
            elif not sys.stdin.readline():
                return
            else:
                say(received=seen, late=late, highest=highest)
    elif mode == "dns":
        udp = socket.socket(family(address), socket.SOCK_DGRAM)
        udp.bind((address, port))
        say(ready=True)
        while True:
            asked, client = udp.recvfrom(512)
            has = asked[-3] == 1
            record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x02" if has else b""
            udp.sendto(asked[:2] + b"\x81\x80\0\x01\0" + bytes([has]) + bytes(4) + asked[12:] + record, client)
    elif mode == "dns-ask":
        udp = socket.socket(family(address), socket.SOCK_DGRAM)
        udp.connect((address, port))
        say(ready=True)
        for line in sys.stdin:
            labels = b"".join(bytes([len(w)]) + w.encode() for w in json.loads(line)["name"].split("."))
            udp.send(b"\0\x07\x01\0\0\x01" + bytes(6) + labels + b"\0\0\x01\0\x01")
            say(answered=bool(udp.recv(512)))
    elif mode == "udp-spray":
        say(ready=True)
        for line in sys.stdin:
            for local_port, remote, remote_port in json.loads(line):
                with socket.socket(family(remote), socket.SOCK_DGRAM) as udp:
                    udp.bind(("", local_port))
                    udp.sendto(b"x", (remote, remote_port))
            say(sent=True)
    elif mode == "udp-send":
        udp = socket.socket(family(address), socket.SOCK_DGRAM)
        gap, number, due = 1 / float(sys.argv[4]), 0, time.monotonic()
        most = int(sys.argv[5]) if len(sys.argv) > 5 else 1 << 40
        say(ready=True)
        while True:
            if number < most:
                udp.sendto(number.to_bytes(8, "big") + bytes(992), (address, port))
                number += 1
            due += gap
            if select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
                say(sent=number)
                return


main()
