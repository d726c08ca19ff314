"""The nft table as text: golden files, and the way from one table to the next."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from isdf.errors import InvalidError, KernelError
from isdf.model import Line, Rate
from isdf_agent.dataplane.buckets import Buckets
from isdf_agent.dataplane.kernel import KernelDataplane
from isdf_agent.dataplane.port import Change, Class, Match, State, difference
from isdf_agent.dataplane.transition import Table, adopt_script, change_script

GOLDEN = Path(__file__).parent / "golden"
RATE = Rate(1_600_000, 1_600_000, 1_600_000, 1_600_000)
SITES = State(
    {2: Class(2, "pay-per-site/sites", RATE)},
    {Match(remote="192.0.2.1"): 2, Match(remote="192.0.2.7"): 2, Match(remote="2001:db8::1"): 2},
)
SHAPES = State(
    {2: Class(2, "vpn/office", RATE), 3: Class(3, "local/test", RATE)},
    {
        Match(): 3,
        Match(proto=1): 2,
        Match(remote="10.0.0.0/8"): 2,
        Match(remote="10.1.0.0/16", remote_port=(443, 443)): 3,
        Match(remote_port=(6881, 6889)): 3,
        Match(local="192.168.1.0/24", remote="198.51.100.7", remote_port=(80, 80), proto=6): 2,
        Match(local="192.168.1.5", local_port=(1, 1023), remote_port=(53, 53), proto=17): 3,
        Match(local="2001:db8:1::/64"): 2,
    },
)
CASES = {
    "nothing": (State(), None),
    "sites": (SITES, None),
    "sites-with-buckets": (SITES, Buckets(0xFF000000)),
    "shapes": (SHAPES, None),
}


def in_namespace(script, *argv):
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    return subprocess.run(
        [*unshare, *argv], input=script, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.system
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_lists_the_table_as_the_golden_file_has_it(name):
    """The golden file goes through the same nft, because its versions print differently."""
    state, buckets = CASES[name]
    script = "\n".join(adopt_script(None, state, "wan", buckets))
    listed = "nft -f -; nft list table inet isdf"
    assert in_namespace(script, "sh", "-ec", listed) == in_namespace(
        (GOLDEN / f"{name}.nft").read_text(), "sh", "-ec", listed
    )


@pytest.mark.system
@pytest.mark.parametrize("fair", [True, False])
def test_whatever_changes_came_an_agent_that_adopts_the_table_has_nothing_to_do(fair):
    """And every change is one that the kernel takes: a hundred of them by chance, in one namespace."""
    in_namespace(str(fair), sys.executable, __file__)


def walk(fair):
    from isdf_agent.dataplane.nft import Nft

    nft, chance, buckets = Nft(), random.Random(7), None if fair else Buckets(0xFF000000)
    addresses = [None, "192.0.2.1", "192.0.2.0/24", "10.0.0.0/8", "192.0.2.128/25"]
    ports = [None, (70, 70), (80, 90), (91, 100), (128, 255)]
    state = State()
    nft.run("\n".join(adopt_script(None, state, "wan", buckets)))
    for _ in range(100):
        classes = {i: Class(i, f"a/{i}{chance.choice('xy')}", RATE) for i in chance.sample(range(2, 6), 2)}
        members = {}
        for _ in range(chance.randrange(8)):
            match = Match(
                chance.choice([None, 6, 17]),
                chance.choice(addresses),
                chance.choice(ports),
                chance.choice(addresses),
                chance.choice(ports),
            )
            members[match] = chance.choice(list(classes))
        if chance.random() < 0.3:
            members[Match(remote="2001:db8::/32")] = next(iter(classes))
        new = State(classes, members)
        script = change_script(state, difference(state, new), "wan", buckets)
        if script:
            nft.run("\n".join(script))
        state = new
        rest = adopt_script(Table.read(nft.read("list table inet isdf")), state, "wan", buckets)
        assert rest == [], (state, rest)


class RefusingNft:
    """Takes nothing, and has the table."""

    def run(self, commands):
        if "flow_" in commands or "class_2" in commands:
            raise KernelError("nftables refused the change: no")

    def has(self, table):
        return True


class RecordingWorker:
    def __init__(self):
        self.plans = []

    def call(self, op, **args):
        if op == "run":
            return RefusingNft().run(args["commands"])
        if op == "read":
            return []
        self.plans.append(sorted(args["classes"]))
        return {"leaf": "fq_codel", "missing": []}


def test_when_nft_refuses_all_is_tried_once_and_then_the_queues_go_back():
    worker = RecordingWorker()
    dataplane = KernelDataplane("lo", ("lan",), nft=RefusingNft(), worker=worker)
    dataplane.adopt(Line(8_000_000, 8_000_000, 1_000_000, 1_000_000), State())
    with pytest.raises(KernelError, match="refused"):
        dataplane.apply(Change(set_classes=(Class(2, "a/b", RATE),)))
    assert worker.plans == [[1], [1, 2], [1, 2], [1]]
    with pytest.raises(KernelError):
        dataplane.apply(Change(set_classes=(Class(2, "a/b", RATE),)))


def test_no_worker_is_started_where_there_is_no_wan_device():
    worker = RecordingWorker()
    dataplane = KernelDataplane("nowhere", ("lan",), nft=RefusingNft(), worker=worker)
    with pytest.raises(KernelError, match="the WAN device nowhere does not exist"):
        dataplane.adopt(Line(8_000_000, 8_000_000, 1_000_000, 1_000_000), State())
    assert worker.plans == []


def test_a_mask_of_the_connection_mark_needs_five_bits():
    with pytest.raises(InvalidError, match="five bits"):
        Buckets(0x0F)
    text = json.dumps(Buckets(0x00F80000).chains())
    assert "0x00800000" in text


if __name__ == "__main__":
    walk(sys.stdin.read() == "True")
