"""Stand-in for OpenWrt's logread: `python -m openwrt.logread [-l COUNT] [-e PATTERN]`.

It reads what the stand-in procd wrote, /var/log/messages or the file in the environment variable OPENWRT_LOG; OpenWrt's
own asks logd. COUNT messages from the end are looked at, and printed are those of them whose text (program, process and
line, without time and priority) has a match of PATTERN, a regular expression.

Reference: openwrt/ubox `log/logread.c`. There PATTERN is a basic regular expression; here it is one of Python, which is
the same as long as it has letters, `^`, `.`, `*` and what stands after a backslash.
"""

import argparse
import os
import re
import sys
from pathlib import Path

_TIME_AND_PRIORITY = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} \w+\.\w+ ")


def main() -> int:
    parser = argparse.ArgumentParser(prog="logread", description=__doc__.splitlines()[0])
    parser.add_argument("-l", dest="count", type=int, default=0, help="look at the last COUNT messages")
    parser.add_argument("-e", dest="pattern", default="", help="print those that match")
    args = parser.parse_args()
    log = Path(os.environ.get("OPENWRT_LOG", "/var/log/messages"))
    try:
        lines = log.read_text(errors="replace").split("\n")[:-1]
    except FileNotFoundError:
        print("Failed to find log object: Not found", file=sys.stderr)
        return 255
    for line in lines[-args.count :]:
        head = _TIME_AND_PRIORITY.match(line)
        if re.search(args.pattern, line[head.end() :] if head else line):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
