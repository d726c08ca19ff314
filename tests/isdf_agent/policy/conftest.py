"""A policy over the in-memory dataplane; lets the tests here share samples.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from samples import Clock, policy_of

from isdf_agent.dataplane.memory import MemoryDataplane
from isdf_agent.policy.ledger import MemoryLedger


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dataplane():
    return MemoryDataplane()


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def policy(dataplane, ledger, clock):
    policy = policy_of(dataplane, ledger, clock)
    policy.restore()
    return policy
