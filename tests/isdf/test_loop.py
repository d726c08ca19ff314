"""The loop: descriptors, timers, signals, children; and that one bad callback stops nothing."""

import os
import signal
import socket
import sys
import time

import pytest

from isdf.loop import Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


def test_timers_come_in_the_order_of_their_time_and_once(loop):
    seen = []
    loop.after(0.02, lambda: seen.append("late"))
    loop.after(0, lambda: seen.append("first"))
    loop.after(0, lambda: seen.append("second"))
    loop.after(0.03, loop.stop)
    loop.run()
    assert seen == ["first", "second", "late"]


def test_a_timer_never_comes_early(loop):
    began = time.monotonic()
    loop.after(0.02, loop.stop)
    loop.run()
    assert time.monotonic() - began >= 0.02


def test_a_cancelled_timer_does_not_come_not_even_when_it_is_due(loop):
    seen = []
    loop.after(0, lambda: second.cancel())
    second = loop.after(0, lambda: seen.append("cancelled"))
    loop.after(0.01, loop.stop)
    loop.run()
    assert not seen
    assert not second.active


def test_cancelled_timers_are_cleared_away(loop):
    for _ in range(10_000):
        loop.after(30, print).cancel()
    assert len(loop._timers) <= 64
    kept = [loop.after(30, print) for _ in range(1000)]
    for _ in range(10_000):
        loop.after(30, print).cancel()
    assert len(loop._timers) <= 2000
    assert all(timer.active for timer in kept)


def test_a_timer_that_is_set_in_a_callback_waits_for_the_next_round(loop):
    seen = []

    def again():
        seen.append(len(seen))
        loop.after(0, again)

    loop.after(0, again)
    loop.step()
    assert seen == [0]
    loop.step()
    assert seen == [0, 1]


def test_a_descriptor_is_served_when_it_can_be_read_or_written(loop, pair):
    near, far = pair
    seen = []
    loop.watch(near.fileno(), lambda: seen.append(near.recv(10)))
    loop.step()
    assert not seen
    far.send(b"x")
    loop.step(1)
    assert seen == [b"x"]
    loop.watch(near.fileno(), None, lambda: seen.append("writable"))
    far.send(b"y")
    loop.step(1)
    assert seen == [b"x", "writable"]
    loop.watch(near.fileno(), None)
    loop.watch(near.fileno(), None)
    loop.step()
    assert seen == [b"x", "writable"]


def test_what_a_callback_forgets_is_not_served_in_the_same_round(loop, pair):
    near, far = pair
    seen = []

    def forget_both(name):
        seen.append(name)
        loop.watch(near.fileno(), None)
        loop.watch(far.fileno(), None)

    near.send(b"x")
    far.send(b"x")
    loop.watch(near.fileno(), lambda: forget_both("near"))
    loop.watch(far.fileno(), lambda: forget_both("far"))
    loop.step(1)
    assert len(seen) == 1


def test_a_callback_that_raises_is_logged_and_the_others_are_served(loop, caplog):
    seen = []
    loop.after(0, lambda: 1 / 0)
    loop.after(0, lambda: seen.append("served"))
    loop.step()
    assert seen == ["served"]
    assert "ZeroDivisionError" in caplog.text


def test_a_step_waits_no_longer_than_it_is_told(loop):
    began = time.monotonic()
    loop.after(30, print)
    loop.step(0.01)
    assert 0.01 <= time.monotonic() - began < 5


def test_signals_are_served_by_the_loop(loop):
    seen = []
    loop.on_signal(signal.SIGUSR1, lambda: seen.append("usr1"))
    loop.on_signal(signal.SIGUSR2, lambda: (seen.append("usr2"), loop.stop()))
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not seen
    loop.run()
    assert seen == ["usr1", "usr2"]


def run_child(loop, *argv, **options):
    ended = []
    loop.child(list(argv), lambda *end: (ended.append(end), loop.stop()), **options)
    loop.run()
    return ended[0]


def test_a_child_gives_its_status_and_what_it_printed(loop):
    assert run_child(loop, "sh", "-c", "cat; echo there; exit 3", stdin=b"hello ") == (3, b"hello there\n")
    assert run_child(loop, "sh", "-c", "kill -9 $$") == (-9, b"")


def test_a_child_may_print_much_and_need_not_read(loop):
    status, out = run_child(loop, "sh", "-c", "yes | head -c 1000000", stdin=b"x" * 60000)
    assert (status, len(out)) == (0, 1_000_000)


def test_a_child_gets_more_than_a_pipe_holds_while_the_loop_goes_on(loop, tmp_path):
    loop.after(0, (tmp_path / "go").touch)
    code = f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; wc -c"
    assert run_child(loop, "sh", "-c", code, stdin=bytes(3_000_000)) == (0, b"3000000\n")


@pytest.mark.parametrize("code", ["exec 0<&-; sleep 0.05; exit 4", "exit 4"])
def test_a_child_that_reads_nothing_of_much_is_waited_for_all_the_same(loop, code):
    assert run_child(loop, "sh", "-c", code, stdin=bytes(3_000_000)) == (4, b"")


def test_who_keeps_the_output_of_a_killed_child_open_does_not_keep_its_end(loop):
    """A grandchild in a session of its own is not killed with the child."""
    code = "import os, time\nif os.fork(): time.sleep(30)\nos.setsid(); print(os.getpid(), flush=True); time.sleep(30)"
    began = time.monotonic()
    status, out = run_child(loop, sys.executable, "-ISc", code, timeout=0.5)
    os.kill(int(out), signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_a_child_leaves_no_descriptor_behind(loop):
    before = os.listdir("/proc/self/fd")
    run_child(loop, "sh", "-c", "exit 0", stdin=bytes(1_000_000))
    assert os.listdir("/proc/self/fd") == before


def test_a_child_whose_time_is_up_is_killed_with_its_children(loop, caplog):
    began = time.monotonic()
    status, _ = run_child(loop, "sh", "-c", "sleep 30 & wait", timeout=0.05)
    assert status == -signal.SIGKILL
    assert time.monotonic() - began < 5
    assert "sh did not end within 0.05 s" in caplog.text


def test_a_child_that_closes_its_output_is_waited_for(loop):
    code = "import os, time; os.close(1); time.sleep(0.05); os._exit(7)"
    assert run_child(loop, sys.executable, "-ISc", code) == (7, b"")


def test_a_program_that_does_not_exist_is_an_error_of_the_caller(loop):
    with pytest.raises(FileNotFoundError):
        loop.child(["/nowhere/at/all"], print)
