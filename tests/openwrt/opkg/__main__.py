"""`python3 -IS tests/openwrt/opkg ...`: a folder that runs as a program."""

import os
import sys

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from openwrt.opkg.command_line import main

    sys.exit(main(sys.argv[1:]))
