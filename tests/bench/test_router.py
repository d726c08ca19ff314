"""What the agent and a service hold of a small router, measured in the premises: memory, processor."""

import os
import time

import pytest

from bench import python32
from premises.host import wait_until
from premises.premises import Premises

pytestmark = pytest.mark.system

IDLE = 60.0  # seconds
MEMBERS = 100


def test_memory_on_a_32_bit_router(write):
    python32.make()
    with Premises(homes=1) as net:
        net.start_manager()
        net.operator(["publish", str(net.feed / "pay-per-site")])
        home = net.home(1)
        net.add_device(home)
        python32.install(home.router)
        home.router.start_agent()
        wait_until(lambda: net.is_known(home), 30, "the first pull")
        wait_until(lambda: not children(agent(home)), 30, "the end of the pull")
        idle = anonymous(agent(home))
        words = ["subscribe", home.name, "pay-per-site", "--config", "sites=mirror-a.example", "rate=200kBps"]
        net.operator([*words, "--for", "1h"])
        service = anonymous(home.router.find("isdf.sdk")[0])
        home.router.ubus("call", "isdf.control", "add_class", '{"name": "bench", "rate": 800000}')
        for number in range(MEMBERS):
            member = f'{{"name": "bench", "flow": {{"remote": "198.51.100.{number}"}}}}'
            home.router.ubus("call", "isdf.control", "add_class_member", member)
        wait_until(lambda: not children(agent(home)), 30, "the end of the link worker")
        loaded = anonymous(agent(home))
    write("delivery", {"agent_anon_idle_mb": idle, "service_anon_mb": service})
    write("router", {"agent_anon_loaded_mb": loaded})


def test_an_agent_that_has_nothing_to_do_costs_nothing(write):
    with Premises(homes=1) as net:
        net.start_manager()
        net.operator(["publish", str(net.feed / "pay-per-site")])
        home = net.home(1)
        net.add_device(home)
        home.router.start_agent()
        wait_until(lambda: net.is_known(home), 20, "the first pull")
        words = ["subscribe", home.name, "pay-per-site", "--config", "sites=mirror-a.example", "rate=200kBps"]
        net.operator([*words, "--for", "1h"])
        pid = agent(home)
        wait_until(lambda: not children(pid), 30, "the end of the pull")
        pss = rollup(pid, "Pss")
        before = cpu(pid)
        time.sleep(IDLE)  # the measuring window
        spent = cpu(pid) - before
    write("delivery", {"agent_pss_mb": pss, "agent_cpu_idle_pct": round(100 * spent / IDLE, 3)})


def agent(home) -> int:
    return home.router.find("isdf_agent.app")[0]


def children(pid: int) -> str:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().strip()


def rollup(pid: int, key: str) -> float:
    """Megabytes of `key` in the memory map of a process."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith(f"{key}:"))
    return round(kilobytes / 1024, 2)


def anonymous(pid: int) -> float:
    return rollup(pid, "Anonymous")


def cpu(pid: int) -> float:
    """Seconds of the processor that a process and its ended children have had."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
