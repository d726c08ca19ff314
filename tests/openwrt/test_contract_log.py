"""The contract of the router's log: what a process prints, through procd, as logread shows it and the agent reads it.

With OPENWRT_ROOT, where that tree has them, through OpenWrt's own procd, logd and logread, which want /dev/log and
/var/run/ubus/ubus.sock: they get a mount namespace in which these are theirs.
"""

import os
import re
import shlex
import subprocess
import sys

import pytest

from isdf import ubus
from isdf.loop import Loop
from isdf_agent.services.output import LastWords

from .bus import Bus
from .fixtures import settle
from .programs import real
from .users import as_root

pytestmark = pytest.mark.system

LINE = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} daemon\.(\w+) (\w+)\[(\d+)\]:(?: (.*))?", re.DOTALL)
OWN_FILES = """
mount -t tmpfs tmpfs /run && mkdir -p /run/ubus /run/dev && ln -s "$1" /run/ubus/ubus.sock
for name in null zero full random urandom; do touch /run/dev/$name && mount --bind /dev/$name /run/dev/$name; done
mount --rbind /run/dev /dev
setpriv --pdeathsig KILL "$2" -S 1024 2>/dev/null &
exec "$3" -S -I /nonexistent -R /nonexistent -s "$1" 2>/dev/null
"""
NOISE = "libsetlbf.so"  # the loader misses what OpenWrt has of this name
PARTS = {"stand-in": None}
if all(own := [real(name) for name in ("logd", "procd", "logread")]):
    PARTS["openwrt"] = [words[0] for words in own]


class Log:
    """procd and what keeps its log, on a bus; `read` is the command line of logread."""

    def __init__(self, socket: str, folder, parts: list[str] | None) -> None:
        if parts:
            logd, procd, logread = parts
            argv = [*as_root(), "unshare", "-m", "sh", "-c", OWN_FILES, "sh", socket, logd, procd]
        else:
            argv = [*as_root(), sys.executable, "-m", "openwrt.procd", "--ubus", socket, "--log", str(folder / "log")]
        self._process = subprocess.Popen(argv)
        if parts:
            self.read = [*as_root(), "nsenter", "-m", "-t", str(self._process.pid), "--", logread]
        else:
            self.read = ["env", f"OPENWRT_LOG={folder}/log", sys.executable, "-m", "openwrt.logread"]
        self.loop, self._bus = Loop(), ubus.connect(socket)
        self._bus.attach(self.loop)
        service = self._bus.subscribe("service", print)
        settle(self.loop, lambda: service.present)
        settle(self.loop, lambda: not parts or "log" in self._bus.objects())

    def run(self, script: str, shell: str = "sh") -> int:
        """Run a shell script that ends by itself; its process's number, when the log has its line "end"."""
        instance = {"command": [shell, "-c", f"{script}\necho end"], "stdout": True, "stderr": True}
        self._bus.call("service", "set", {"name": "test", "instances": {"main": instance}})
        settle(self.loop, lambda: any(line[-1] == "end" for line in self.lines()))
        return int(self.lines()[-1][2])

    def lines(self, *words: str) -> list[tuple[str, ...]]:
        """Priority, program, process and text of each message of processes."""
        printed = subprocess.run([*self.read, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        lines = [LINE.fullmatch(line) for line in printed.decode().split("\n")]
        return [line.groups("") for line in lines if line and NOISE not in (line[4] or "")]

    def close(self) -> None:
        self._bus.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(params=PARTS)
def log(request, tmp_path):
    with Bus(tmp_path) as bus:
        log = Log(bus.socket, tmp_path, PARTS[request.param])
        yield log
        log.close()


def texts(lines):
    return [line[-1] for line in lines]


def test_a_line_has_its_priority_its_program_and_its_process(log):
    pid = str(log.run("echo out; echo err >&2"))
    wanted = [("err", "sh", pid, "err"), ("info", "sh", pid, "end"), ("info", "sh", pid, "out")]
    settle(log.loop, lambda: sorted(log.lines()) == wanted)


def test_a_line_is_kept_but_for_blanks_at_its_end(log):
    log.run(r"printf ' a\tb \033[31m\303\274 \t\n\nc\r\n'; printf 'd\0e\n'")
    assert texts(log.lines()) == [" a\tb \x1b[31mü", "", "c", "d", "end"]


def test_what_has_no_end_of_line_is_lost(log):
    log.run("printf 'in '; echo pieces; (printf lost >&2)")
    assert texts(log.lines()) == ["in pieces", "end"]


def test_a_long_line_is_cut_and_a_longer_one_is_two(log):
    pid = log.run("for n in 900 1023 2000 4096 5000 9000; do printf '%*s\\n' $n '' | tr ' ' x; done")
    most = 1023 - len(f"<30>Nov 20 12:10:12 sh[{pid}]: ")
    assert [len(text) for text in texts(log.lines())[:-1]] == [
        900, most, most, most, 0, most, 5000 - 4096, most, most, 9000 - 2 * 4096
    ]  # fmt: skip


def test_a_pattern_is_of_program_process_and_text(log):
    pid = log.run("echo one; echo two: one; echo three")
    assert texts(log.lines("-e", "one")) == ["one", "two: one"]
    assert texts(log.lines("-e", f"^sh.{pid}.: t")) == ["two: one", "three"]
    assert texts(log.lines("-e", f"{pid}.: one")) == ["one"]
    assert texts(log.lines("-e", "daemon")) == []
    assert texts(log.lines("-e", "nothing")) == []


def test_a_count_is_taken_before_the_pattern(log):
    log.run("echo one; echo two; echo three")
    assert texts(log.lines("-l", "2")) == ["three", "end"]
    assert texts(log.lines("-l", "2", "-e", "t")) == ["three"]


def test_the_agent_finds_the_last_words_of_a_process(log, tmp_path, monkeypatch):
    """As procd calls a service: the program `python3`, whichever Python that is."""
    (tmp_path / "logread").write_text(f'#!/bin/sh\nexec {shlex.join(log.read)} "$@"\n')
    (tmp_path / "logread").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "python3").symlink_to("/bin/sh")
    pid = log.run("exec 2>&1; echo one >&2; echo Error: two >&2", f"{tmp_path}/python3")
    found, words = [], LastWords(None, log.loop)
    words.ended("tv", 1, pid)
    words.of("tv", found.append)
    settle(log.loop, lambda: found)
    ((status, text),) = found
    assert (status, [line for line in text.split("\n") if NOISE not in line]) == (1, ["one", "Error: two", "end"])
