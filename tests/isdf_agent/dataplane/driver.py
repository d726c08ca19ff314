"""A process with monitor, policy and dataplane in it, driven by lines of JSON: [verb, args...] in, the answer out.

What an agent has of them, without bus and delivery, so that it can be killed and measured.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from isdf.errors import IsdfError
from isdf.loop import Loop
from isdf.model import Lease, Line
from isdf_agent import healing
from isdf_agent.dataplane.kernel import KernelDataplane
from isdf_agent.dataplane.link import LinkWorker
from isdf_agent.dataplane.nft import Nft
from isdf_agent.monitor.hosts import HostFollower
from isdf_agent.monitor.resolver import Resolver
from isdf_agent.policy.grants import Grant, Limit
from isdf_agent.policy.ledger import FileLedger
from isdf_agent.policy.policy import Policy

LINE = Line(down=8_000_000, up=8_000_000, base_down=1_200_000, base_up=1_200_000)
LOOKS = []  # an entry for each foreign change that was told
GRANT = Grant({"add_class": Limit(), "add_class_member": Limit()})


def answer(policy, dataplane, verb, args):
    if verb == "teardown":
        return dataplane.teardown()
    if verb == "warm":
        return dataplane.warm()
    if verb == "worker":
        return dataplane._worker.pid
    if verb == "looks":
        return len(LOOKS)
    if verb == "anonymous":
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    if verb == "timed":
        begun = time.perf_counter()
        answer(policy, dataplane, args[0], args[1:])
        return (time.perf_counter() - begun) * 1000
    got = getattr(policy, verb)(*args)
    if isinstance(got, Lease):
        return got._asdict()
    return sorted(got) if isinstance(got, set) else got


def main():
    loop, nft = Loop(), Nft()
    mask = int(os.environ.get("MARK_MASK", "0xff000000"), 0)
    dataplane = KernelDataplane("wan", ("br-lan", "guest"), mask, nft, LinkWorker(loop))
    policy = Policy(dataplane, LINE, FileLedger(Path(sys.argv[1])), lambda owner: GRANT, lambda owner: (0, 0))
    hosts = HostFollower(loop, policy, nft, Resolver(loop, Path(os.environ.get("RESOLV_CONF", "/dev/null"))))
    healing.APART = 0.2  # the tests do one damage after the other
    healer = healing.Healer(loop, [policy.repair, hosts.repair])
    policy.on_fault = hosts.on_fault = healer.refused
    if "HEALS" in os.environ:
        dataplane.watch(loop, lambda: (LOOKS.append(True), healer.look()))
    policy.restore()
    hosts.update()
    print("{}", flush=True)

    def readable():
        line = sys.stdin.readline()
        if not line:
            loop.stop()
            return
        verb, *args = json.loads(line)
        try:
            got = answer(policy, dataplane, verb, args)
        except IsdfError as error:
            got = error.as_dict()
        except Exception:
            traceback.print_exc()
            os._exit(1)  # the test sees the end, not silence
        hosts.update()
        print(json.dumps(got), flush=True)

    loop.watch(sys.stdin.fileno(), readable)
    loop.run()


main()
