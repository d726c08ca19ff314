"""Programs as child processes."""

import os
import signal

import pytest

from isdf.process import SAME, Process


def run(*argv: str, **options) -> tuple[int, str]:
    """Exit status and output of a program."""
    out, to_write = os.pipe()
    process = Process(list(argv), stdout=to_write, **options)
    os.close(to_write)
    with os.fdopen(out) as pipe:
        text = pipe.read()
    return process.wait(), text


def test_a_program_its_arguments_and_its_environment():
    assert run("/bin/sh", "-c", 'echo "$0 $1 $X"; exit 3', "a b", "c", env={"X": "1"}) == (3, "a b c 1\n")


def test_errors_go_where_the_output_goes():
    assert run("sh", "-c", "echo one; echo two >&2", stderr=SAME) == (0, "one\ntwo\n")


def test_a_broken_pipe_ends_it_as_everywhere():
    out, to_write = os.pipe()
    os.close(out)
    process = Process(["sh", "-c", "echo x; echo x"], stdout=to_write)
    os.close(to_write)
    assert process.wait() == -signal.SIGPIPE


def test_a_program_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        Process(["/nowhere/at/all"])


def test_it_is_killed_with_what_it_started():
    out, to_write = os.pipe()
    process = Process(["sh", "-c", "sleep 1000 & echo started; wait"], stdout=to_write)
    os.close(to_write)
    with os.fdopen(out) as pipe:
        assert pipe.readline() == "started\n"
        assert process.poll() is None
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert pipe.read() == ""  # nobody holds the pipe open any more
    process.kill()  # of nobody
    assert process.poll() == -signal.SIGKILL


def test_it_has_none_of_our_descriptors():
    kept = os.open("/", os.O_RDONLY)
    assert str(kept) not in run("ls", "/proc/self/fd")[1].split()
    os.close(kept)
