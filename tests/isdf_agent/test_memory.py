"""What the agent imports, a small router holds for ever."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.system

HEAVY = {
    "_hashlib", "_ssl", "argparse", "asyncio", "contextlib", "ctypes", "dataclasses", "hashlib", "hmac", "http",
    "inspect", "ipaddress", "logging", "pathlib", "pyroute2", "random", "secrets", "subprocess", "threading", "typing",
    "urllib", "warnings",
}  # fmt: skip


def test_what_only_children_and_commands_need_is_not_in_the_agent():
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import isdf_agent.app, isdf_agent.dataplane.kernel
print(sorted({HEAVY!r} & sys.modules.keys()))
"""
    # Neither the environment nor site may bring in modules of their own.
    ended = subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
