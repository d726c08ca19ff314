"""The agent's side of the link worker: how one is started, and what is told where it cannot be."""

import os
import sys

import pytest

from isdf.errors import KernelError
from isdf_agent.dataplane.link import LinkWorker


def test_a_worker_that_cannot_start_is_the_kernels_refusal_and_leaves_nothing_open(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    worker, before = LinkWorker(), os.listdir("/proc/self/fd")
    with pytest.raises(KernelError, match="the link worker does not start: No such file"):
        worker.call("shape")
    assert os.listdir("/proc/self/fd") == before
    worker.close()


def test_a_worker_imports_nothing_from_where_the_agent_happens_to_stand(monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("open('taken', 'w')")
    monkeypatch.chdir(tmp_path)
    worker = LinkWorker()
    worker.warm()
    worker.close()
    assert not (tmp_path / "taken").exists()
