"""Records go to `logging` where a process has it, else to stderr."""

import logging
import subprocess
import sys

import pytest

from isdf.log import Log


def test_a_process_with_logging_gets_records(caplog):
    caplog.set_level(logging.INFO)
    Log("isdf.test").info("%s of %d", "one", 2)
    Log("isdf.test").debug("unheard")
    try:
        raise ValueError("x")
    except ValueError:
        Log("isdf.test").exception("it failed")
    assert caplog.record_tuples == [("isdf.test", 20, "one of 2"), ("isdf.test", 40, "it failed")]
    assert "ValueError: x" in caplog.text


def test_a_process_without_logging_writes_lines():
    code = (
        "import sys; from isdf.log import Log; log = Log('x')\n"
        "log.info('unheard %d', 1); log.warning('100% as it is'); log.error('%s of %d', 'one', 2)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: log.exception('it failed')\n"
        "assert 'logging' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = ended.stderr.splitlines()
    assert lines[:3] == ["100% as it is", "one of 2", "it failed"]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert ended.returncode == 0


def test_a_process_may_say_who_it_is_and_what_it_wants_to_tell():
    code = (
        "from isdf import log; log.setup('isdf-agent', 'info'); log = log.Log('x')\n"
        "log.debug('unheard'); log.info('it %s', 'runs'); log.error('it fails')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stderr.splitlines() == ["isdf-agent: INFO: it runs", "isdf-agent: ERROR: it fails"]


@pytest.mark.parametrize("module", ["isdf.ubus", "isdf.loop"])
def test_what_every_service_imports_leaves_the_heavy_modules_out(module):
    heavy = "{'logging', 'subprocess', 'asyncio', 'json', 'threading', 'dataclasses', 'inspect', 'typing', 're'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-ISc", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert ended.stdout == "[]\n"
