"""`python3 -m isdf.sdk FOLDER` runs the service in FOLDER; this is the command that procd gets.

Every service pays for what is imported here: no argparse, no pathlib, no typing.
"""

from __future__ import annotations

import os
import signal
import sys

from .. import ubus
from ..errors import IsdfError
from ..loop import Loop
from .service import Process, load, report, say, sentence_of


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when told to end, 1 when the service or its first configuration fails, 2 for wrong use."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python3 -m isdf.sdk FOLDER   (ubusd's socket: environment variable UBUS_SOCKET)", file=sys.stderr)
        return 2
    (folder,) = words
    loop = Loop()
    try:
        bus = ubus.connect(os.environ.get("UBUS_SOCKET", "/var/run/ubus/ubus.sock"))
    except IsdfError as error:
        print(f"{folder}: {error}", file=sys.stderr)
        return 1
    try:
        service = load(folder)
    except (Exception, SystemExit) as error:  # whatever service.py does when it is imported
        sentence = f"service.py cannot be loaded: {sentence_of(error)}"
        say(sentence)
        report(bus, sentence)
        return 1
    bus.attach(loop)
    loop.on_signal(signal.SIGTERM, loop.stop)
    process = Process(service, bus, loop)
    loop.run()
    return process.exit_status


if __name__ == "__main__":
    sys.exit(main())
