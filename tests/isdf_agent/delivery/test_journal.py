"""The power goes at any step; the next start finishes the job."""

import itertools
import os

import pytest
from fakes import Crash, Router, Steps
from simulator import NOW, Operator

from isdf_agent.delivery.journal import Journal
from isdf_agent.delivery.trials import Trials


def before(tmp_path):
    """A router with an old version of one service, one that will be configured, and one that will go."""
    operator = Operator()
    operator.subscribe("tv", "1.0.0", config={"rate": 1})
    operator.subscribe("game", "1.0.0", config={"rate": 2})
    operator.subscribe("old", "1.0.0")
    router = Router(tmp_path, operator)
    router.pull()
    operator.subscribe("tv", "1.1.0", config={"rate": 5})
    operator.configure("game", config={"rate": 3})
    operator.unsubscribe("old")
    operator.subscribe("new", "1.0.0")
    operator.subscribe("bad", "1.0.0")
    operator.subscribe("later", "1.0.0", since=NOW + 3600)
    router.services.broken["bad", "1.0.0"] = "no"
    return router


TARGET = {"tv": ("1.1.0", {"rate": 5}), "game": ("1.0.0", {"rate": 3}), "new": ("1.0.0", {})}
OLD = {"tv": ("1.0.0", {"rate": 1}), "game": ("1.0.0", {"rate": 2}), "old": ("1.0.0", {})}


class Tracer:
    """Lets each write to the file system be a step that can crash; steps are found, not listed by hand."""

    def __init__(self, monkeypatch, steps):
        for name in ("open", "fsync", "replace", "unlink"):
            real = getattr(os, name)
            monkeypatch.setattr(
                f"isdf_agent.delivery.flash.os.{name}",
                lambda *args, real=real: steps.do(lambda: real(*args)),
            )


def rehearse(tmp_path, monkeypatch, crash_at, late, slow=False):
    router = before(tmp_path)
    router.clear()
    router.services.slow = {"tv", "game", "new", "bad"} if slow else set()
    steps = router.installer.steps = router.services.steps = Steps(crash_at, late)
    with monkeypatch.context() as patch:
        Tracer(patch, steps)
        try:
            router.pull()
            while router.services.held:
                router.services.release(sorted(router.services.held)[0])
            crashed = False
        except Crash:
            crashed = True
    return router, steps, crashed


@pytest.mark.system
def test_a_crash_at_any_step_leads_to_the_target_at_the_next_start(tmp_path, monkeypatch):
    router, steps, crashed = rehearse(tmp_path / "whole", monkeypatch, None, False)
    assert not crashed
    assert router.services.running == TARGET
    assert steps.done > 20
    for crash_at, reboot in itertools.product(range(steps.done), (False, True)):
        router, _, crashed = rehearse(tmp_path / f"{crash_at}-{reboot}", monkeypatch, crash_at, False)
        assert crashed
        router.restart(reboot=reboot)
        assert router.services.running in (TARGET, OLD), (crash_at, reboot)
        router.pull(eager=False)
        assert router.services.running == TARGET, (crash_at, reboot)
        assert set(router.installer.installed()) == {"isdf-service-tv", "isdf-service-game", "isdf-service-new"}


@pytest.mark.system
def test_a_crash_at_any_step_of_services_that_are_slow_leads_to_the_target_too(tmp_path, monkeypatch):
    """Each is ready later, in its turn; a crash may come before, between and after."""
    total = itertools.count()
    for crash_at in total:
        router, _, crashed = rehearse(tmp_path / str(crash_at), monkeypatch, crash_at, True, slow=True)
        if not crashed:
            assert router.services.running == TARGET
            break
        router.services.slow.clear()
        router.services.held.clear()
        router.restart(reboot=crash_at % 2 == 0)
        router.pull(eager=False)
        assert router.services.running == TARGET, crash_at
        assert set(router.installer.installed()) == {"isdf-service-tv", "isdf-service-game", "isdf-service-new"}
    assert next(total) > 20


def test_nothing_is_changed_before_the_assignment_is_on_flash(tmp_path, monkeypatch):
    for crash_at in range(200):
        router, _, crashed = rehearse(tmp_path / str(crash_at), monkeypatch, crash_at, True)
        if router.journal.assignment().assignment.serial == router.operator.serial:
            break
        assert crashed
        assert router.services.running == OLD
        assert not router.log
    else:
        pytest.fail("no assignment was ever written")


def test_packages_on_flash_are_those_that_run_wait_or_may_be_tried_again(tmp_path):
    router = before(tmp_path)
    router.pull()
    router.loop.advance(Trials.STAYS)
    names = sorted(path.name.split("_")[0] for path in (tmp_path / "flash/packages").iterdir())
    assert names == [f"isdf-service-{name}" for name in ("bad", "game", "later", "new", "tv")]


@pytest.mark.parametrize("name", ["running.json", "assignment", "passes.json"])
@pytest.mark.parametrize("junk", [b"", b"{", b"null", b"[1]", b"\xff\xfe", b'{"running": 5}'])
def test_a_damaged_file_on_flash_stops_nothing(tmp_path, name, junk):
    router = before(tmp_path)
    router.pull()
    (tmp_path / "flash" / name).write_bytes(junk)
    router.restart(reboot=True)
    router.pull()
    assert router.services.running == TARGET


def test_files_on_flash_are_for_root_alone(tmp_path):
    router = before(tmp_path)
    router.pull()
    for path in (tmp_path / "flash").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_damaged_package_on_flash_counts_as_absent(tmp_path):
    router = before(tmp_path)
    router.pull()
    entry = router.operator.entries["tv"]
    path = router.journal.package(entry)
    path.write_bytes(path.read_bytes()[:-1])
    assert Journal(tmp_path / "flash").package(entry) is None
