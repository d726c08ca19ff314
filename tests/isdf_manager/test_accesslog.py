"""The access log: what becomes of a request whose line cannot be written."""

import json
import os
import time

import pytest
from werkzeug import Request, Response
from werkzeug.test import create_environ

from isdf_manager.accesslog import AccessLog


def write(log: AccessLog, path: str = "/keys", **more) -> None:
    log.write(Request(create_environ(path)), Response("x"), 0.001, **more)


class Disk:
    """A file on a disk that has room for `room` bytes."""

    def __init__(self, room: int) -> None:
        self.room, self.data = room, b""

    def fileno(self) -> int:
        raise OSError

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.data += data[: self.room]
        written = min(len(data), self.room)
        self.room -= written
        return written


def test_a_full_disk_fails_no_request_and_what_is_not_written_is_counted():
    disk = Disk(20)
    log = AccessLog(disk)
    for _ in range(3):
        write(log)
    disk.room = 1 << 20
    write(log, "/health")
    write(log)
    torn, first, second = disk.data.decode().splitlines()
    assert len(torn) == 20
    assert (json.loads(first)["path"], json.loads(first)["skipped"]) == ("/health", 3)
    assert "skipped" not in json.loads(second)


@pytest.fixture
def pipe():
    ends = os.pipe()
    with open(ends[0], "rb", buffering=0) as reader, open(ends[1], "wb", buffering=0) as writer:
        yield reader, writer


def test_a_reader_that_is_gone_fails_no_request(pipe):
    reader, writer = pipe
    reader.close()
    write(AccessLog(writer))


def test_a_reader_that_does_not_read_keeps_nobody(pipe):
    reader, writer = pipe
    log = AccessLog(writer)
    for _ in range(200):
        write(log, "/" + "\u20ac" * 1000)
    lines = b""
    while b"skipped" not in lines:
        lines = reader.read(1 << 20)
        write(log)
    told = [json.loads(line) for line in lines.splitlines()]
    assert told[-1]["skipped"] > 100


def test_a_path_of_slashes_costs_no_time():
    """The search for a secret takes the square of the slashes: ten seconds for those that fit into a request."""
    disk = Disk(1 << 20)
    before = time.thread_time()
    write(AccessLog(disk), "/feed" + "/" * 16_000)
    assert time.thread_time() - before < 0.5
    assert len(json.loads(disk.data)["path"]) == 500
