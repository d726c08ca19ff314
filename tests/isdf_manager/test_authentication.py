"""What was taken once, and what is known of who asks, in bounded memory."""

import pytest

from isdf_manager import authentication
from isdf_manager.authentication import WINDOW, Known, Taken
from isdf_manager.problems import BusyError

NOW = 1_790_000_000


def seal(number):
    return f"{number:064x}"[::-1]


def test_a_request_is_taken_once_while_its_time_is_good():
    taken = Taken()
    assert taken.take(NOW, seal(1), NOW)
    assert not taken.take(NOW, seal(1), NOW + WINDOW)
    assert taken.take(NOW, seal(2), NOW + WINDOW)


def test_what_is_too_old_to_come_again_is_forgotten():
    taken = Taken()
    for number in range(1000):
        taken.take(NOW + number, seal(number), NOW + number)
    assert sum(map(len, taken._minutes.values())) <= WINDOW + 120


def test_where_memory_ends_nothing_is_forgotten_and_nothing_is_taken(monkeypatch):
    monkeypatch.setattr(authentication, "_MOST", 2)
    taken = Taken()
    assert taken.take(NOW, seal(1), NOW)
    assert taken.take(NOW, seal(2), NOW)
    with pytest.raises(BusyError):
        taken.take(NOW, seal(3), NOW)
    assert taken.take(NOW + 2 * WINDOW, seal(3), NOW + 2 * WINDOW)


def test_the_keys_that_were_good_last_are_known(monkeypatch):
    monkeypatch.setattr(authentication, "_MOST_KNOWN", 2)
    known = Known()
    for name in ("a", "b", "a", "c"):
        known.put(name, name.encode())
    assert [known.get(name) for name in "abc"] == [b"a", None, b"c"]
