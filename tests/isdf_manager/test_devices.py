"""Devices: entering and replacing them, and the configuration with which a new router begins."""

import re

from isdf.formats import claim
from isdf_agent import config as agent_config
from isdf_manager import devices

CODE = r"claim code: ([A-Z2-7]{4}(?:-[A-Z2-7]{4}){8})\n\Z"


def code(printed: str) -> str:
    return re.search(CODE, printed)[1]


def test_a_new_device_has_a_claim_code_and_nothing_else_is_printed_after_it(manager):
    printed = manager.ok("device", "add", "home1")
    assert claim.parse(code(printed))
    assert "isdf-agent enroll http://manager.example:8080 CODE" in printed


def test_a_factory_writes_all_that_a_router_needs(manager, tmp_path):
    file = tmp_path / "isdf"
    printed = manager.ok(
        "device", "add", "home1", "--uci", file, "--line", "down=8mbit,up=8000,base_down=150kBps,base_up=1200",
        "--wan", "eth0", "--lan", "br-lan", "--lan", "br-guest",
        "--set", "pull_interval=60", "--set", "dataplane=memory", "--push-from", "192.0.2.1",
    )  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == (
        "config agent 'agent'\n\toption manager 'http://manager.example:8080'\n"
        f"\toption claim '{code(printed)}'\n\toption insecure '1'\n"
        "\toption pull_interval '60'\n\toption dataplane 'memory'\n\tlist push_from '192.0.2.1'\n\n"
        "config line 'line'\n\toption wan 'eth0'\n\tlist lan 'br-lan'\n\tlist lan 'br-guest'\n"
        "\toption down '8000'\n\toption up '8000'\n\toption base_down '1200'\n\toption base_up '1200'\n"
    )


def test_the_agent_understands_what_a_factory_writes(manager, tmp_path):
    file = tmp_path / "isdf"
    words = (
        "--line",
        "down=8mbit,up=8000,base_down=150kBps,base_up=1200",
        "--wan",
        "eth0",
        "--set",
        "pull_interval=60",
    )
    printed = manager.ok("device", "add", "home1", "--uci", file, *words)
    read = agent_config.load(file)
    assert (read.manager, read.claim, read.insecure) == ("http://manager.example:8080", code(printed), True)
    assert (read.line.down, read.line.up, read.line.base_down, read.line.base_up) == (8e6, 8e6, 1.2e6, 1.2e6)
    assert (read.wan, read.lan, read.pull_interval) == ("eth0", ("br-lan",), 60)


def test_a_manager_with_tls_is_not_called_without(manager, tmp_path, monkeypatch):
    monkeypatch.setenv("ISDF_MANAGER_URL", "https://manager.example")
    manager.ok("device", "add", "home1", "--uci", tmp_path / "isdf")
    assert "insecure" not in (tmp_path / "isdf").read_text()


def test_a_device_that_cannot_be_added_leaves_no_file(manager, tmp_path):
    manager.ok("device", "add", "home1")
    assert "is there already" in manager.fails("device", "add", "home1", "--uci", tmp_path / "isdf")
    assert "is not known" in manager.fails("device", "replace", "home2", "--uci", tmp_path / "isdf")
    assert not (tmp_path / "isdf").exists()


def test_a_router_that_takes_its_place_begins_with_the_line_and_the_port_that_are_known(manager, tmp_path):
    words = ("--line", "down=8mbit,up=8000,base_down=150kBps", "--set", "push_port=9010")
    first = code(manager.ok("device", "add", "home1", *words))
    second = code(manager.ok("device", "replace", "home1", "--uci", tmp_path / "isdf", "--wan", "eth1"))
    assert second != first
    text = (tmp_path / "isdf").read_text()
    assert f"\toption claim '{second}'\n" in text
    assert "\toption push_port '9010'\n" in text
    assert "\toption wan 'eth1'\n\tlist lan 'br-lan'\n\toption down '8000'\n\toption up '8000'\n" in text
    assert "\toption base_down '1200'\n\toption base_up '8000'\n" in text
    manager.ok("device", "replace", "home1", "--uci", tmp_path / "other", "--line", "down=1mbit,up=1mbit")
    assert "\toption down '1000'\n" in (tmp_path / "other").read_text()


def test_a_router_that_takes_its_place_begins_with_the_file_of_the_first_but_for_the_code(manager, tmp_path):
    def begins(name, *words):
        file = tmp_path / name
        return manager.ok("device", *words, "--uci", file), file.read_text()

    words = ("--line", "down=8000,up=8000", "--wan", "eth0", "--lan", "br-lan", "--lan", "br-guest")
    more = ("--push-from", "192.0.2.1", "--set", "pull_interval=60", "--set", "push_port=9010")
    printed, first = begins("first", "add", "home1", *words, *more)
    again, second = begins("second", "replace", "home1")
    assert second == first.replace(code(printed), code(again))
    again, third = begins("third", "replace", "home1", "--lan", "br-home", "--set", "pull_interval=90")
    changed = first.replace("list lan 'br-lan'\n\tlist lan 'br-guest'", "list lan 'br-home'").replace("'60'", "'90'")
    assert third == changed.replace(code(printed), code(again))
    again, fourth = begins("fourth", "replace", "home1")
    assert fourth == changed.replace(code(printed), code(again))


def test_the_names_of_its_devices_are_written_for_a_router_that_is_told_its_line_later(manager, tmp_path):
    manager.ok("device", "add", "home1", "--uci", tmp_path / "isdf", "--wan", "eth0")
    assert (tmp_path / "isdf").read_text().endswith("\nconfig line 'line'\n\toption wan 'eth0'\n\tlist lan 'br-lan'\n")
    read = agent_config.load(tmp_path / "isdf")
    assert (read.wan, read.lan, read.line) == ("eth0", ("br-lan",), None)


def test_what_is_known_of_a_device_says_whether_a_router_is_awaited(manager):
    manager.ok("device", "add", "home2")
    assert "enrolled:      no; its claim code is not used yet\n" in manager.ok("device", "show", "home2")
    manager.router()
    assert re.search(r"enrolled: +20.+Z\n", manager.ok("device", "show", "home1"))
    manager.ok("device", "replace", "home1")
    assert "enrolled:      yes; another router is awaited\n" in manager.ok("device", "show", "home1")


def test_pushes_come_from_the_urls_address_or_from_those_given_and_from_no_name(manager, tmp_path):
    def pushes_from(words, url):
        return devices.parse_push_from(words, url)

    assert pushes_from([], "https://[2001:DB8::1]:8080/x") == ["2001:db8::1"]
    assert pushes_from([], "http://192.0.2.1") == ["192.0.2.1"]
    assert pushes_from([], "https://manager.example") == []
    assert pushes_from(["192.0.2.9", "2001:db8:0::9", "192.0.2.9"], "http://192.0.2.1") == ["192.0.2.9", "2001:db8::9"]
    for wrong in ("manager.example", "0.0.0.0", "::", "192.0.2.0/24", "fe80::1%wan", "'"):
        said = manager.fails("device", "add", "home1", "--push-from", wrong, status=2)
        assert f"--push-from {wrong!r} is no address" in said
    manager.ok("device", "add", "home1", "--uci", tmp_path / "isdf")
    assert "push_from" not in (tmp_path / "isdf").read_text()


def test_devices_come_and_go(manager):
    manager.ok("device", "add", "home2")
    manager.ok("device", "add", "home1")
    assert manager.ok("device", "list") == "home1\nhome2\n"
    shown = manager.ok("device", "show", "home1")
    assert "last contact:  never\n" in shown
    assert "feed:          -\n" in shown
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    assert "/feed/home1/" in manager.ok("device", "show", "home1")
    manager.ok("unsubscribe", "home1", "lane", "--no-push")
    assert "until its assignment expires, and" in manager.ok("device", "remove", "home1")
    assert manager.ok("device", "list") == "home2\n"
    manager.ok("device", "add", "home1")
