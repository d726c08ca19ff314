"""`python3 -m isdf.sdk FOLDER` runs the service in FOLDER; this is the command that procd gets."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from .. import ubus
from ..errors import IsdfError
from ..loop import Loop
from .service import Process, load, report, say, sentence_of


def main(argv: list[str] | None = None) -> int:
    """Exit status 1 when the service cannot be loaded or its first configuration fails, 0 when it was told to end."""
    parser = argparse.ArgumentParser(prog="isdf.sdk", description="Run the service in a folder.")
    parser.add_argument("folder", type=Path, help="folder with service.py")
    parser.add_argument(
        "--ubus", default=os.environ.get("UBUS_SOCKET", "/var/run/ubus/ubus.sock"), help="ubusd's socket"
    )
    args = parser.parse_args(argv)
    loop = Loop()
    try:
        bus = ubus.connect(args.ubus)
    except IsdfError as error:
        print(f"{args.folder}: {error}", file=sys.stderr)
        return 1
    try:
        service = load(args.folder)
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
