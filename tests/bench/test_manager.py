"""What a manager with 100,000 devices answers: polls, and what is forged. Clients and server share the machine.

`pull_304_per_s`: each poll on a TLS connection of its own, as routers make it. `pull_forged_per_s`: requests with
unknown devices and signatures from 50,000 addresses, so that none is refused for its address alone, on connections that
stay; nothing is written for them. manager.json has what each costs, and `.._kept`: polls on connections that stay,
`.._one_address`: what is forged from one, which is limited.
"""

import json
import os
import subprocess
import sys

import pytest
import requests

from bench import crowd
from isdf_manager.home import Home
from served import Served
from simulated_router import Router

pytestmark = pytest.mark.system
DEVICES, SECONDS, PROCESSES = 100_000, 10, 2


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("served"), "https")
    made("init", "--url", made.url)
    with (made.home / "manager.yaml").open("a") as config:
        config.write('trusted_proxies: ["::1"]\nmetrics_token: 0123456789abcdef\n')
    made("publish", "feed/pay-per-site")
    made.start()
    told = made("device", "add", "home")
    made("subscribe", "home", "pay-per-site", "--config", "sites=mirror-a.example", "rate=200kBps", "--no-push")
    router = Router(told, made.http)
    router.pull()
    made.etag = router.etag
    made.keys = {name: key.hex() for name, key in crowd.fill(Home(made.home), "home", DEVICES).items()}
    yield made
    made.stop()


def ask(served, kind, connections, addresses=0):
    """Answers a second by status, and microseconds of processor time that the server takes for one."""
    names = iter(sorted(served.keys))
    share = DEVICES // PROCESSES
    words = [sys.executable, "-m", "bench.clients"]
    environment = os.environ | {"PYTHONPATH": "tests"}
    clients = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(PROCESSES)
    ]
    before = cpu(served.process.pid)
    for client in clients:
        keys = {name: served.keys[name] for name, _ in zip(names, range(share), strict=False)}
        told = {
            "kind": kind, "connections": connections, "addresses": addresses, "seconds": SECONDS, "port": served.port,
            "authority": str(served.authority), "etag": served.etag, "keys": keys,
        }  # fmt: skip
        client.stdin.write(json.dumps(told))
        client.stdin.close()
    answers: dict[int, float] = {}
    for client in clients:
        with client:
            for status, number in json.loads(client.stdout.read()).items():
                answers[int(status)] = answers.get(int(status), 0) + number
        assert client.returncode == 0
    taken = (cpu(served.process.pid) - before) / sum(answers.values())
    return {status: number / SECONDS for status, number in answers.items()}, taken


def cpu(pid):
    """Microseconds of processor time that a process has taken."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def test_polls_that_end_in_304(served, write):
    new, cost = ask(served, "pull", "new")
    kept, cost_kept = ask(served, "pull", "kept")
    write("delivery", {"pull_304_per_s": round(new.get(304, 0))})
    write(
        "manager",
        {
            "pull_304_cpu_us": round(cost), "pull_304_per_s_kept": round(kept.get(304, 0)),
            "pull_304_cpu_us_kept": round(cost_kept),
        },
    )  # fmt: skip
    assert set(new) == set(kept) == {304}
    assert counted(served) == 100_001


def test_what_is_forged(served, write):
    database = served.home / "manager.db-wal"
    before = database.stat().st_size, database.stat().st_mtime_ns
    log = served.log.stat().st_size
    forged, cost = ask(served, "forged", "kept", addresses=50_000)
    after = database.stat().st_size, database.stat().st_mtime_ns
    one, cost_one = ask(served, "forged", "kept")
    write("delivery", {"pull_forged_per_s": round(sum(forged.values()))})
    write(
        "manager",
        {
            "pull_forged_cpu_us": round(cost), "pull_forged_per_s_one_address": round(sum(one.values())),
            "pull_forged_cpu_us_one_address": round(cost_one),
            "pull_forged_log_kb": round((served.log.stat().st_size - log) / 1000),
        },
    )  # fmt: skip
    assert after == before
    assert forged[401] > 0.9 * sum(forged.values())
    assert one[429] > 0.9 * sum(one.values())


def counted(served):
    """Devices that the manager knows to have called, by its metrics."""
    token = {"Authorization": "Bearer 0123456789abcdef"}
    lines = requests.get(f"{served.url}/metrics", headers=token, verify=str(served.authority), timeout=30).text
    return next(int(line.split()[1]) for line in lines.splitlines() if line.startswith("isdf_devices "))
