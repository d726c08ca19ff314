"""From the operator's command to the router: what is sold is assigned, verified, fetched, and told as it happens."""

import re


def test_a_sold_service_reaches_the_router(manager):
    listener = manager.listening()
    out = manager.ok(
        "subscribe", "home1", "lane", "--config", "rate=200kBps", "sites=a.example,b.example", "--for", "2h"
    )
    assert re.fullmatch(r"sold until .+Z, order [0-9a-f]{16}\npushed\npulled after \d+ ms\nrunning after \d+ ms\n", out)
    assert listener.router.runs() == {"lane": {"rate": "200kBps", "sites": ["a.example", "b.example"]}}
    entry = listener.router.assignment.services[0]
    assert entry.until == entry.since + 7200
    assert [f.path for f in listener.router.packages["lane"].files if f.kind == "file"] == [
        "/usr/lib/isdf/services/lane/service.json", "/usr/lib/isdf/services/lane/service.py",
    ]  # fmt: skip


def test_configure_and_unsubscribe_reach_the_router(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert "configured\npushed" in manager.ok("configure", "home1", "lane", "rate=400kBps")
    assert listener.router.runs() == {"lane": {"rate": "400kBps"}}
    assert re.search(
        r"cancelled\npushed\npulled after \d+ ms\nended after \d+ ms\n", manager.ok("unsubscribe", "home1", "lane")
    )
    assert listener.router.runs() == {}


def test_a_new_version_reaches_who_has_the_service(manager):
    listener = manager.listening()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=200kBps")
    manager.ok("publish", str(manager.service(version="1.0.1")))
    manager.ok("push", "home1")
    assert [e.version for e in listener.router.assignment.services] == ["1.0.1"]


def test_a_push_without_news_is_answered_by_304(manager):
    listener = manager.listening()
    serial = listener.router.assignment.serial
    assert re.fullmatch(r"pushed\npulled after \d+ ms\nnothing new\n", manager.ok("push", "home1"))
    assert listener.router.assignment.serial == serial
    assert "304" in manager.log.getvalue()


def test_a_lost_push_is_sent_again_with_the_same_sequence(manager):
    listener = manager.listening(deaf=1)
    manager.ok("push", "home1")
    assert len(listener.pushes) == 2
    assert len(set(listener.pushes)) == 1
    manager.ok("push", "home1")
    assert listener.pushes[-1] > listener.pushes[0]


def test_what_the_router_reports_as_failure_is_the_commands_failure(manager):
    listener = manager.listening()
    listener.router.error = "ImportError: no module named foo\n"
    said = manager.fails("subscribe", "home1", "lane", "--config", "rate=200kBps")
    assert said.startswith("home1 reports: lane failed: ImportError: no module named foo (order ")
    assert "ImportError" in manager.ok("status")


def test_a_device_that_never_called_gets_it_with_its_first_pull(manager):
    router = manager.router()
    assert "not pushed: home1 has not called in yet" in manager.ok(
        "subscribe", "home1", "lane", "--config", "rate=1mbit"
    )
    assert "has not called in yet" in manager.fails("push", "home1")
    router.pull()
    assert router.runs() == {"lane": {"rate": "1mbit"}}


def test_the_push_floor_is_the_last_sequence(manager):
    listener = manager.listening()
    manager.ok("push", "home1")
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert listener.router.assignment.push_floor == listener.pushes[0]
    assert listener.pushes[1] > listener.pushes[0]
