"""From an assignment to services that run: what is done, and what is left alone."""

import pytest
from simulator import NOW, service_package


def test_a_first_service_is_installed_and_started(router):
    router.pull()
    assert router.log == [("install", "isdf-service-tv", "1.0.0"), ("start", "tv", "1.0.0")]
    assert router.services.configs() == {"tv": {"rate": 1}}
    assert router.told() == {"tv": ("1.0.0", "running", None)}
    assert router.rollout.report()[0] is True


def test_the_same_assignment_again_changes_nothing_and_writes_nothing(router):
    router.pull()
    router.clear()
    writes = router.journal.writes
    router.pull()
    assert router.log == []
    assert router.journal.writes == writes


def test_an_assignment_signed_anew_costs_one_write(router, operator):
    router.pull()
    router.clear()
    writes = router.journal.writes
    operator.serial += 1
    router.pull()
    assert router.log == []
    assert router.journal.writes == writes + 1


def test_a_new_configuration_is_handed_over_without_install_or_restart(router, operator):
    router.pull()
    router.clear()
    operator.configure("tv", config={"rate": 2})
    router.pull()
    assert router.log == [("reconfigure", "tv", {"rate": 2})]


def test_a_new_version_replaces_the_old_one_without_a_stop_between(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")
    router.pull()
    assert router.log == [("install", "isdf-service-tv", "1.1.0"), ("start", "tv", "1.1.0")]


def test_another_package_of_the_same_version_takes_its_place(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.0.0", data=service_package("tv", "1.0.0", "# mended\n"))
    router.pull()
    assert router.log == [("install", "isdf-service-tv", "1.0.0"), ("start", "tv", "1.0.0")]


def test_another_end_of_a_pass_disturbs_nobody(router, operator):
    operator.configure("tv", until=NOW + 100)
    router.pull()
    router.clear()
    operator.configure("tv", until=NOW + 200)
    router.pull()
    assert router.log == []
    router.loop.advance(150)
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_service_that_is_not_assigned_any_more_is_stopped_and_removed_and_nothing_else(router, operator):
    operator.subscribe("vpn")
    router.pull()
    router.clear()
    operator.unsubscribe("tv")
    router.pull()
    assert router.log == [("remove", "isdf-service-tv"), ("stop", "tv")]
    assert not any("isdf-service-tv_" in file for file in router.files())


def test_after_a_reboot_what_ran_runs_again_from_flash(router):
    router.pull()
    router.clear()
    router.restart(reboot=True)
    assert router.log == [("start", "tv", "1.0.0")]


def test_after_a_restart_of_the_agent_nothing_is_touched(router):
    router.pull()
    router.clear()
    router.restart()
    assert router.log == []


def test_a_package_that_a_user_removed_is_installed_again_from_flash(router):
    router.pull()
    router.installer.there.clear()
    router.services.reboot()
    router.rollout.settle()
    assert router.services.versions() == {"tv": "1.0.0"}


def test_a_package_that_is_nowhere_is_left_to_the_next_pull(router):
    router.pull(staged={})
    assert router.log == []
    assert router.rollout.missing == {router.operator.entries["tv"].sha256}
    assert router.told()["tv"] == ("1.0.0", "failed", "it is not installed yet")


def test_an_old_version_runs_on_until_the_new_one_is_fetched(router, operator):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0", config={"rate": 2})
    router.pull(staged={})
    assert router.log == []
    router.pull()
    assert router.services.running == {"tv": ("1.1.0", {"rate": 2})}


@pytest.mark.parametrize("fault", ["open", "fsync", "replace"])
def test_a_full_flash_changes_nothing_that_runs(router, operator, monkeypatch, fault):
    router.pull()
    router.clear()
    operator.subscribe("tv", "1.1.0")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"isdf_agent.delivery.flash.os.{fault}", full)
        router.pull()
    assert router.log == []
    version, state, error = router.told()["tv"]
    assert (version, state) == ("1.0.0", "running")
    assert error.endswith("the router's flash could not be written: No space left on device")
    router.pull()
    assert router.services.versions() == {"tv": "1.1.0"}


def test_a_fault_in_the_agent_itself_fails_the_service_and_not_delivery(router, operator, monkeypatch):
    monkeypatch.setattr(router.installer, "install", lambda packages, done: 1 / 0)
    router.pull()
    assert router.told()["tv"] == (
        "1.0.0", "failed", "a fault in the agent: ZeroDivisionError('division by zero')"
    )  # fmt: skip
    monkeypatch.undo()
    operator.subscribe("vpn")
    router.pull()
    assert router.services.versions() == {"tv": "1.0.0", "vpn": "1.0.0"}


# -- what cannot be ended


@pytest.fixture
def immortal(router, operator):
    """A service that was withdrawn, and whose process procd did not delete."""
    operator.subscribe("vpn")
    router.pull()
    operator.unsubscribe("tv")
    router.services.immortal.add("tv")
    router.clear()
    router.pull()
    return router


def test_a_process_that_may_live_on_keeps_its_package_and_is_told_of(immortal):
    assert immortal.services.versions() == {"tv": "1.0.0", "vpn": "1.0.0"}
    assert immortal.installer.log == []
    assert immortal.told()["tv"][1:] == ("failed", "it could not be ended: procd did not delete it: Timeout")
    assert immortal.rollout.report()[0] is False


@pytest.mark.parametrize("restart", [False, True])
def test_it_is_ended_again_until_it_has_ended_and_then_its_package_goes(immortal, restart):
    immortal.loop.advance(600)
    assert immortal.log.count(("stop", "tv")) == 11
    immortal.services.immortal.clear()
    if restart:
        immortal.restart()
    else:
        immortal.loop.advance(60)
    assert immortal.services.versions() == {"vpn": "1.0.0"}
    assert immortal.installer.installed() == {"isdf-service-vpn": "1.0.0"}
    assert "tv" not in immortal.told()
    immortal.clear()
    immortal.loop.advance(600)
    assert immortal.log == []


def test_it_costs_the_flash_nothing(immortal):
    writes = immortal.journal.writes
    immortal.loop.advance(600)
    assert immortal.journal.writes == writes


def test_a_pass_whose_process_cannot_be_ended_has_not_ended(router, operator):
    operator.configure("tv", until=NOW + 10)
    router.pull()
    router.services.immortal.add("tv")
    router.loop.advance(10)
    assert router.told()["tv"][1] == "failed"
    router.services.immortal.clear()
    router.loop.advance(60)
    assert router.told()["tv"] == ("1.0.0", "ended", None)


def test_one_that_is_sold_again_meanwhile_is_started(immortal, operator):
    operator.subscribe("tv", config={"rate": 1})
    immortal.pull()
    assert immortal.told()["tv"] == ("1.0.0", "running", None)
