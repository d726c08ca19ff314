"""Classes on their way out, over a kernel that is told what to say."""

from types import SimpleNamespace

import pytest

from isdf_agent.dataplane import shaper as shapers
from isdf_agent.dataplane.queues import Found
from isdf_agent.dataplane.shaper import Shaper
from isdf_agent.dataplane.tree import Node, leaf_handle

WAN, CLASS = 3, 2


@pytest.fixture
def kernel(monkeypatch):
    """`kernel.queued`: whether packets wait in the class; `kernel.now`: the time; `kernel.deleted`: handles."""

    told = SimpleNamespace(queued=True, now=100.0, deleted=[])

    def classes(ip, index):
        node = Node(leaf_handle(CLASS), 1, 1000, 1000, 1514)
        return {node.handle: Found(node, (0, 0), told.queued)}

    monkeypatch.setattr(shapers.queues, "classes", classes)
    monkeypatch.setattr(shapers.queues, "delete_class", lambda ip, index, node: told.deleted.append(node.handle))
    monkeypatch.setattr(shapers.time, "monotonic", lambda: told.now)
    return told


@pytest.fixture
def shaper():
    made = Shaper()
    yield made
    made.close()


def test_a_class_is_deleted_when_its_queue_is_empty(kernel, shaper):
    shaper.retiring = {WAN: {CLASS: 130.0}}
    shaper.drain()
    assert (kernel.deleted, shaper.retiring) == ([], {WAN: {CLASS: 130.0}})
    kernel.queued = False
    shaper.drain()
    assert (kernel.deleted, shaper.retiring) == ([leaf_handle(CLASS)], {})


def test_a_queue_that_never_runs_empty_is_not_waited_for_for_ever(kernel, shaper):
    shaper.retiring = {WAN: {CLASS: 130.0}}
    kernel.now = 131.0
    shaper.drain()
    assert (kernel.deleted, shaper.retiring) == ([leaf_handle(CLASS)], {})
