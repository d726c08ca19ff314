"""The premises as a whole: quickly there, without root too, at other terminals' hands, and gone without a trace."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import isdf
from premises import privilege
from premises.host import FILES, Host, wait_until
from premises.namespaces import Namespaces
from premises.premises import Premises

pytestmark = pytest.mark.system

# Prints the pids of all that it has made, then waits to be killed.
WAITING = """
import os, signal
from premises.premises import Premises
with Premises(homes=1) as net:
    pids = [pid for host in net.hosts.values() for pid in (host.pid, *host.processes())]
    print(*pids, flush=True)
    signal.pause()
"""
# Without root: services are users of their own, and the network is as with root.
ROOTLESS = """
import os
from premises.premises import Premises
assert os.geteuid() != 0
with Premises(homes=2) as net:
    home = net.home(1)
    targets = ["icmp:192.0.2.10", "icmp:2001:db8:f::10", "tcp:mirror-a.example:80"]
    print(all(home.client(1).reaches(*targets).values()))
    run = ["setpriv", "--reuid", "33000", "--regid", "33000", "--clear-groups", "/usr/bin/python3", "-c"]
    print(home.router.run([*run, "import os, isdf.model; print(os.getuid())"]).stdout.strip())
    home.reboot()
    print(all(home.client(1).reaches(*targets).values()))
    home.delay(20)
    print(home.client(1).reaches("icmp:192.0.2.10")["icmp:192.0.2.10"])
    print(home.router.ubus("call", "service", "list")["ubus"]["instances"]["instance1"]["running"])
"""
# What the command refuses, and what it says.
WRONG = {
    "loss home9 1": "there is no home9; there are home1",
    "loss home1 101": "loss of 101 % is not 0 to 100",
    "delay home1 -1": "delay of -1 ms is not 0 to 60000",
    "delay home1 long": "invalid float value",
    "reboot": "required: home",
}


def traces():
    """What premises could leave on this machine, beside processes."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    names = set(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else set()
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    return links, names, mounts


def test_two_homes_are_up_in_five_seconds_and_gone_without_a_trace():
    before = traces()
    started = time.monotonic()
    with Premises(homes=2) as net:
        assert time.monotonic() - started < 5
        assert all(net.home(2).client(1).reaches("icmp:192.0.2.10", "icmp:2001:db8:f::10").values())
        assert traces() == before
        pids = [pid for host in net.hosts.values() for pid in (host.pid, *host.processes())]
        assert len(pids) > len(net.hosts) + 8
    assert not any(Path("/proc", str(pid)).exists() for pid in pids)
    assert traces() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_stays_when_the_process_is_killed(number):
    before = traces()
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as process:
        pids = process.stdout.readline().split()
        process.send_signal(number)
    assert len(pids) > 12  # a holder for each host, and what runs in them
    wait_until(lambda: not any(_alive(pid) for pid in pids), 10, "the end of all processes")
    assert traces() == before


def test_two_premises_do_not_disturb_each_other(net):
    with Premises(homes=1) as other:
        assert all(other.home(1).client(1).reaches("icmp:192.0.2.10").values())
        assert other.home(1).router.pid != net.home(1).router.pid
    assert all(net.home(1).client(1).reaches("icmp:192.0.2.10").values())


def test_it_works_without_root():
    if not privilege.is_root():
        said = subprocess.run([sys.executable, "-c", ROOTLESS], capture_output=True, text=True, check=False)
        assert said.stdout.split() == ["True", "33000", "True", "True", "True"], said.stderr
        return
    # A machine of its own for an ordinary user, so that nothing of this one has to be changed for it.
    namespaces = Namespaces()
    try:
        machine = Host("machine", namespaces.hold({"machine": {}})["machine"])
        machine.copy(FILES / "host", "/")
        machine.write("/etc/passwd", machine.read("/etc/passwd") + "ada:x:1000:1000::/home:/bin/sh\n")
        for file in ("/etc/subuid", "/etc/subgid"):
            machine.write(file, "ada:100000:65536\n")
        become = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
        said = machine.run([*become, sys.executable, "-c", ROOTLESS], check=False)
        assert said.stdout.split() == ["True", "33000", "True", "True", "True"], said.stderr
    finally:
        namespaces.close()


def test_the_command_builds_lists_and_enters_hosts():
    command = [sys.executable, "-m", "premises.cli", "--name", f"test-{os.getpid()}"]

    def run(*words):
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    assert run("--version").stdout == f"isdf-premises {isdf.__version__}\n"
    assert all(f"    {verb} " in run("--help").stdout for verb in ("loss", "delay", "unplug", "plug", "reboot"))
    assert "isdf-premises up" in run("ls").stderr
    with _ended(subprocess.Popen([*command, "up", "--homes", "1"], stdout=subprocess.PIPE, text=True)) as up:
        while "Ctrl-C" not in (up.stdout.readline() or "Ctrl-C"):
            continue
        assert "home1.router" in run("ls").stdout
        page = run("exec", "home1.client1", "--", "curl", "-sS", "http://mirror-a.example/index.html")
        assert page.stdout == "mirror-a\n"
        wrong = run("exec", "home9.router", "--", "true")
        assert (wrong.returncode, "there is no host home9.router" in wrong.stderr) == (2, True)
        assert run("exec", "edge", "--", "sh", "-c", "exit 7").returncode == 7
        assert "up already" in run("up").stderr
        reached = ["exec", "home1.client1", "--", "ping", "-nqc1", "-W1", "192.0.2.10"]
        assert run(*reached).returncode == 0
        assert run("loss", "home1", "100").returncode == 0
        assert run(*reached).returncode == 1
        assert run("loss", "home1", "0").returncode == 0
        assert run("delay", "home1", "40").returncode == 0
        wait_until(lambda: run(*reached).returncode == 0, 10, "a ping that passes")  # the neighbour had been given up
        assert float(re.search(r"= ([\d.]+)/", run(*reached).stdout)[1]) >= 80
        assert run("delay", "home1", "0").returncode == 0
        assert run("unplug", "home1").returncode == 0
        carrier = ["exec", "home1.router", "--", "cat", "/sys/class/net/wan/carrier"]
        assert run(*carrier).stdout == "0\n"
        assert run("plug", "home1").returncode == 0
        wait_until(lambda: run(*carrier).stdout == "1\n", 5, "the line")
        memory = ["exec", "home1.router", "--", "sh", "-c"]
        assert run(*memory, ": > /tmp/there; : > /etc/there").returncode == 0
        assert run("reboot", "home1").returncode == 0
        assert run(*memory, "ls -d /tmp/there /etc/there").stdout == "/etc/there\n"
        for words, sentence in WRONG.items():
            wrong = run(*words.split())
            assert (wrong.returncode, sentence in wrong.stderr) == (2, True), wrong.stderr
    assert up.returncode == 0
    assert run("ls").returncode == 1


@contextlib.contextmanager
def _ended(process):
    """Ask a process to end, whatever the test found."""
    with process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()


def _alive(pid: str) -> bool:
    """A zombie has ended; who adopted it will come round to it."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
