"""The agent as a client of procd, and who a caller is."""

from types import SimpleNamespace

import pytest

from isdf.errors import NotPermittedError
from isdf.loop import Loop
from isdf.ubus import Method, Status, StatusError
from isdf_agent.bus import Procd, owner_of
from openwrt.fixtures import connect, own_bus, until

__all__ = ["connect", "own_bus", "until"]


@pytest.fixture
def loop():
    return Loop()


@pytest.mark.parametrize(("user", "owner"), [("root", "local"), ("isdf-tv", "tv"), ("isdf-isdf-tv", "isdf-tv")])
def test_the_user_that_ubusd_names_is_the_owner(user, owner):
    assert owner_of(SimpleNamespace(user=user)) == owner


@pytest.mark.parametrize("user", ["nobody", "isdf", "isdf-local"])
def test_other_users_own_nothing_and_no_service_is_taken_for_root(user):
    with pytest.raises(NotPermittedError):
        owner_of(SimpleNamespace(user=user))


def serve_procd(bus, deleted):
    """procd's object, with one service that can be deleted."""

    def delete(request):
        if request.args["name"] != "isdf-service-tv":
            raise StatusError(Status.NOT_FOUND)
        deleted.append(request.args["name"])

    return bus.add("service", {"delete": Method(delete)})


def test_a_service_that_is_not_there_is_deleted_already(own_bus, connect, until):
    serve_procd(connect(own_bus), [])
    procd, results = Procd(connect(own_bus)), []
    procd.watch(lambda *exited: None, lambda: None)
    until(procd._is_there)
    procd.delete("isdf-service-other", results.append)
    until(lambda: results)
    assert results == [None]


@pytest.mark.parametrize("away", ["ubusd", "procd"])
def test_what_is_deleted_while_ubusd_or_procd_is_away_is_deleted_when_it_is_back(own_bus, connect, until, away):
    deleted, results = [], []
    there, agent = connect(own_bus), connect(own_bus)
    served = serve_procd(there, deleted)
    procd = Procd(agent)
    procd.RETRY = 0.01
    procd.watch(lambda *exited: None, lambda: None)
    until(procd._is_there)
    if away == "ubusd":
        own_bus.stop()
    else:
        served.remove()
    until(lambda: not procd._is_there())
    procd.delete("isdf-service-tv", results.append)
    until(lambda: agent.connected == (away == "procd"))
    assert deleted == results == []
    if away == "ubusd":
        own_bus.start()
    else:
        serve_procd(there, deleted)
    until(lambda: results)
    assert deleted == ["isdf-service-tv"]
    assert results == [None]


def test_who_is_away_for_long_is_told_of(own_bus, connect, until):
    procd, results = Procd(connect(own_bus)), []
    procd.RETRY, procd.PATIENCE = 0.01, 0.05
    procd.watch(lambda *exited: None, lambda: None)
    procd.delete("isdf-service-tv", results.append)
    until(lambda: results)
    assert results == ["procd did not delete isdf-service-tv: Not found"]


def test_a_start_that_waits_for_ubusd_does_not_come_after_the_stop_that_followed_it(own_bus, connect, until):
    asked, results = [], []
    there, agent = connect(own_bus), connect(own_bus)
    methods = {name: Method(lambda request: asked.append(request.method)) for name in ("set", "delete")}
    there.add("service", methods)
    procd = Procd(agent)
    procd.watch(lambda *exited: None, lambda: None)
    until(procd._is_there)
    own_bus.stop()
    until(lambda: not procd._is_there())
    procd.RETRY = 0.01
    procd.set("isdf-service-tv", {}, results.append)
    procd.delete("isdf-service-tv", results.append)
    own_bus.start()
    until(lambda: len(results) == 2)
    assert asked == ["delete"]
    assert results == [None, None]


def test_who_was_away_is_told_of_when_it_is_back(own_bus, connect, until):
    returned = []
    there, agent = connect(own_bus), connect(own_bus)
    serve_procd(there, [])
    procd = Procd(agent)
    procd.watch(lambda *exited: None, lambda: returned.append(True))
    until(lambda: returned == [True])
    own_bus.stop()
    until(lambda: not procd._is_there())
    own_bus.start()
    until(lambda: returned == [True, True])


def test_only_our_services_are_listed_and_no_answer_is_not_an_empty_list(own_bus, connect, until):
    there = connect(own_bus)
    main = {"instances": {"main": {"running": True}}}
    services = {"isdf-service-tv": main, "isdf-service-odd": {"instances": {}}, "other": main, "isdf-agent": main}
    served = there.add("service", {"list": Method(lambda request: services)})
    procd, lists = Procd(connect(own_bus)), []
    procd.list(lists.append)
    until(lambda: lists)
    served.remove()
    procd.list(lists.append)
    until(lambda: len(lists) == 2)
    assert lists == [{"isdf-service-tv": {"running": True}}, None]
