"""Pulls, written together."""

import threading

import pytest
import sqlalchemy as sa

from isdf.errors import FailedError
from isdf_manager import storage
from isdf_manager.contacts import Contacts


@pytest.fixture
def contacts(world):
    return Contacts(world.store)


def written(world, *columns):
    with world.store.read() as connection:
        table = storage.contact
        row = connection.execute(sa.select(table).where(table.c.device == "home1")).one()
    return tuple(row._mapping[column] for column in columns)


def test_the_last_pull_counts_and_all_are_counted(world, contacts):
    for serial, address, now in ((5, "192.0.2.1", 100.0), (6, "192.0.2.2", 101.0), (6, "192.0.2.3", 102.0)):
        contacts.pulled("home1", serial, address, now)
    assert written(world, "pulls") == (0,)
    contacts.flush()
    assert written(world, "pulled", "address", "time", "pulled_at", "pulls") == (6, "192.0.2.3", 102.0, 102.0, 3)
    contacts.flush()
    assert written(world, "pulls") == (3,)


def test_a_device_that_is_gone_holds_nobody_up(world, contacts):
    contacts.pulled("nobody", 1, "192.0.2.9", 100.0)
    contacts.pulled("home1", 5, "192.0.2.1", 100.0)
    contacts.flush()
    assert written(world, "pulls") == (1,)


def test_what_cannot_be_written_waits(world, contacts, monkeypatch):
    contacts.pulled("home1", 5, "192.0.2.1", 100.0)
    with monkeypatch.context() as broken:
        broken.setattr(storage.Storage, "write", lambda _: (_ for _ in ()).throw(FailedError("the disk is full")))
        with pytest.raises(FailedError):
            contacts.flush()
    contacts.pulled("home1", 6, "192.0.2.2", 101.0)
    contacts.flush()
    assert written(world, "pulled", "address", "pulls") == (6, "192.0.2.2", 2)


def test_a_thread_writes_soon_and_all_at_its_end(world, contacts, monkeypatch):
    done = threading.Event()
    flush = contacts.flush
    monkeypatch.setattr(contacts, "flush", lambda: (flush(), done.set()))
    contacts.start()
    contacts.pulled("home1", 5, "192.0.2.1", 100.0)
    assert done.wait(5)
    assert written(world, "pulls") == (1,)
    contacts.pulled("home1", 5, "192.0.2.1", 101.0)
    contacts.stop()
    assert written(world, "pulls") == (2,)
