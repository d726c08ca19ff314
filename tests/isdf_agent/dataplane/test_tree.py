"""The HTB tree as values."""

import pytest

from isdf_agent.dataplane.tree import INNER, LINE, MTU, ROOT, leaf_handle, nodes, number_of, quantum_of

CLASSES = {1: (1_200_000, 1_200_000), 2: (1_600_000, 2_400_000)}


@pytest.mark.parametrize("kind", ["cake", "fq_codel"])
def test_with_a_fair_queue_a_class_is_one_leaf_under_the_line(kind):
    tree = nodes(8_000_000, CLASSES, kind)
    assert [(n.handle, n.parent, n.rate, n.ceil) for n in tree] == [
        (LINE, ROOT, 1_000_000, 1_000_000),
        (0x10010, LINE, 150_000, 150_000),
        (0x10020, LINE, 200_000, 300_000),
    ]
    assert [n.leaf and n.leaf.kind for n in tree] == [None, kind, kind]
    assert all(n.leaf.target * n.ceil >= MTU * 1_000_000 for n in tree[1:]), "a packet must fit into CoDel's target"


def test_without_one_a_class_has_sixteen_leaves_that_share_it():
    tree = nodes(8_000_000, {1: CLASSES[1]}, "buckets")
    assert (tree[1].handle, tree[1].rate) == (INNER + 1, 150_000)
    leaves = tree[2:]
    assert [n.handle for n in leaves] == [leaf_handle(1, b) for b in range(16)]
    assert {n.parent for n in leaves} == {INNER + 1}
    assert sum(n.rate for n in leaves) <= 150_000
    assert {(n.ceil, n.quantum) for n in leaves} == {(150_000, MTU)}
    assert leaves[0].leaf.limit == 10 * MTU, "what a connection begins with"
    assert nodes(8_000_000, {2: CLASSES[2]}, "buckets")[2].leaf.limit == 30_000, "a tenth of a second"


def test_handles_tell_their_class():
    for node in nodes(8_000_000, CLASSES, "buckets")[1:]:
        assert number_of(node.handle) in CLASSES
    assert number_of(LINE) == 0


def test_the_smallest_and_the_largest_rates_have_numbers_that_the_kernel_takes():
    for rate in (8_000, 100 * 10**9):
        for node in nodes(rate, {1: (rate, rate)}, "buckets"):
            assert 1 <= node.rate <= 0xFFFFFFFF
            assert MTU <= node.quantum <= 60_000
    assert quantum_of(12_500_000) == 60_000
