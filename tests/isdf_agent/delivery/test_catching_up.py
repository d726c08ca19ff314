"""Many homes, and a manager that was away: all come back, spread over time. Time and chance are simulated."""

import heapq
import random
from collections import Counter

import pytest

from isdf_agent.delivery.schedule import Schedule

pytestmark = pytest.mark.system

HOMES, INTERVAL, HOUR, BIN = 5000, 1800.0, 3600.0, 60.0
GONE = 2 * HOUR  # when the manager goes


class Timer:
    cancelled = False

    def cancel(self):
        self.cancelled = True


class Time:
    """What a schedule needs of a loop, for all homes."""

    def __init__(self):
        self.now, self._due, self._count = 0.0, [], 0

    def after(self, seconds, call):
        timer = Timer()
        self._count += 1
        heapq.heappush(self._due, (self.now + seconds, self._count, timer, call))
        return timer

    def run(self, until):
        while self._due and self._due[0][0] <= until:
            self.now, _, timer, call = heapq.heappop(self._due)
            if not timer.cancelled:
                call()


def away(seconds, start):
    """Times of the pulls after the manager, gone at GONE, is back; the first of each home, and all."""
    chance, time, back = random.Random(1), Time(), GONE + seconds
    first, pulls = {}, []

    def home(number):
        def pull(reason):
            if time.now >= back:
                pulls.append(time.now - back)
                first.setdefault(number, time.now - back)
            time.after(0.2, lambda there=not GONE <= time.now < back: schedule.ended(there))

        schedule = Schedule(time, INTERVAL, pull, uniform=chance.uniform)
        time.after(start(chance), lambda: schedule.asked("start"))

    for number in range(HOMES):
        home(number)
    time.run(back + 3 * INTERVAL)
    return sorted(first.values()), pulls


def highest(times):
    return max(Counter(int(time // BIN) for time in times).values())


@pytest.mark.parametrize("hours", [1, 5])
def test_after_an_hour_all_come_back_and_none_of_the_time_is_much_fuller_than_the_mean(hours):
    first, pulls = away(hours * HOUR, lambda chance: chance.uniform(0, INTERVAL))
    assert len(first) == HOMES
    assert first[-1] <= 1.2 * INTERVAL
    assert highest(first) <= 1.5 * HOMES / (first[-1] / BIN)
    assert highest(pulls) <= 1.5 * HOMES / (INTERVAL / BIN)  # than on a day like any other


def test_homes_that_lost_their_power_together_do_not_come_back_together():
    first, pulls = away(HOUR, lambda chance: GONE + chance.uniform(0, 5))
    assert len(first) == HOMES
    assert highest(first) <= 1.5 * HOMES / (first[-1] / BIN)
    assert highest(pulls) <= 1.5 * HOMES / (INTERVAL / BIN)
