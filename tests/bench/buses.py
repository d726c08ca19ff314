"""The buses of many homes in one process: `python3 -m bench.buses FOLDER...` prints a line when all take clients.

In each folder `ubus.sock` takes everybody for root, and `service.sock` for the user of the service pay-per-site.
"""

import contextlib
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

from isdf.loop import Loop
from openwrt.ubusd import Client
from openwrt.ubusd_acl import Acl
from openwrt.ubusd_broker import Broker

USERS = {"ubus.sock": "root", "service.sock": "isdf-pay-per-site"}


class Bus:
    """What `openwrt.ubusd.Server` is, but for who its clients are."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self.loop, self.broker = loop, Broker(Acl(str(folder)))
        for name, user in USERS.items():
            who = SimpleNamespace(uid=0, gid=0, user=user, group="root", groups=set(), root=True)
            self._listen(folder / name, who)

    def _listen(self, path: Path, who: SimpleNamespace) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen(16)
        listening.setblocking(False)

        def accept() -> None:
            with contextlib.suppress(BlockingIOError):
                link, _ = listening.accept()
                link.setblocking(False)
                client = Client(self, link, who)
                self.broker.join(client)
                client.start()

        self.loop.watch(listening.fileno(), accept)


def main() -> None:
    loop = Loop()
    buses = [Bus(loop, Path(folder)) for folder in sys.argv[1:]]
    print(f"{len(buses)} buses", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
