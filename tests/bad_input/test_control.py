"""The control API on ubus: what cannot be is refused with a sentence, and changes nothing."""

from __future__ import annotations

import time

import pytest

from bad_input.conftest import GOOD
from premises.host import wait_until

pytestmark = pytest.mark.system
USER = "isdf-film"
_DEAF = """
class Deaf(Service):
    def configure(self):
        pass
"""
_SILENT = "table inet deaf { chain in { type filter hook input priority 0; udp dport 53 drop; }; }"


@pytest.fixture(scope="module", autouse=True)
def film(isp):
    """Two services that have a class `lane` each, and one that may do nothing."""
    isp.desk(
        isp.publishing("film"),
        isp.publishing("play", GOOD.replace("198.51.100.200", "198.51.100.201")),
        isp.publishing("deaf", _DEAF, may="{}"),
    )
    isp.desk(*map(isp.selling, ("film", "play", "deaf")))
    isp.pull()
    assert {service["state"] for service in isp.report()["services"]} == {"running"}


def error(reply) -> str:
    assert isinstance(reply, dict), f"status {reply}"
    assert set(reply["error"]) == {"type", "title", "detail"}
    return reply["error"]["detail"]


@pytest.mark.parametrize("user", ["root", USER])
@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0, "is outside 8 kbit/s to 100 Gbit/s"),
        (-1, "is outside 8 kbit/s to 100 Gbit/s"),
        (float("nan"), "is outside 8 kbit/s to 100 Gbit/s"),
        (float("inf"), "is outside 8 kbit/s to 100 Gbit/s"),
        (2**63 - 1, "is outside 8 kbit/s to 100 Gbit/s"),
        ("nan", "is not a number of bit/s or text such as '1600kbit'"),
        ("-5kbit", "is not a number of bit/s or text such as '1600kbit'"),
        ("fast", "is not a number of bit/s or text such as '1600kbit'"),
        (True, "is not a number of bit/s or text such as '1600kbit'"),
        (None, "is not a number of bit/s or text such as '1600kbit'"),
        ([80000], "is not a number of bit/s or text such as '1600kbit'"),
    ],
)
def test_a_rate_that_is_none(isp, user, rate, words):
    before = isp.ubus("isdf.control", "list")
    assert words in error(isp.ubus("isdf.control", "add_class", {"name": "lane", "rate": rate}, user))
    assert isp.ubus("isdf.control", "list") == before


def test_a_rate_beyond_what_the_line_has_left(isp):
    before = isp.ubus("isdf.control", "list")
    said = error(isp.ubus("isdf.control", "add_class", {"name": "big", "rate": "6400kbit"}))
    assert said == ("rate 800 kB/s does not fit down: 1000 kB/s line, 150 base, 60 held by classes, 790 kB/s left")
    assert isp.ubus("isdf.control", "list") == before


@pytest.mark.parametrize(
    ("method", "args", "words"),
    [
        ("add_class", {"name": "lane", "rate": "1601kbit"}, "service film may have classes of 200 kB/s in sum"),
        ("add_class", {"name": "a", "rate": "1592kbit"}, "service film may have classes of 200 kB/s in sum"),
        ("add_class", {"name": "a", "rate": 80000, "up": "1592kbit"}, "may have classes of 200 kB/s in sum"),
        ("add_class_member", {"name": "other", "flow": {}}, "there is no class 'other'; add_class makes it"),
        ("remove_class", {"name": "sites"}, "there is no class 'sites'"),
    ],
)
def test_more_than_a_service_may(isp, method, args, words):
    before = isp.ubus("isdf.control", "list")
    assert words in error(isp.ubus("isdf.control", method, args, USER))
    assert isp.ubus("isdf.control", "list") == before


def test_a_verb_that_service_yaml_does_not_list(isp):
    said = error(isp.ubus("isdf.control", "add_class", {"name": "a", "rate": 80000}, "isdf-deaf"))
    assert said == "service deaf may not add_class: its service.yaml does not list it under 'may'"
    assert isp.classes("deaf") == {}


def test_two_services_with_one_name_of_a_class_have_one_each(isp):
    assert isp.classes("film").keys() == isp.classes("play").keys() == {"lane"}
    mine, theirs = isp.classes("film")["lane"]["members"], isp.classes("play")["lane"]["members"]
    assert mine[0]["lease"] != theirs[0]["lease"]
    assert isp.ubus("isdf.control", "add_class", {"name": "lane", "rate": 96000}, USER)["rate"] == 96000
    assert isp.classes("play")["lane"]["rate"] == 80000
    assert isp.ubus("isdf.control", "remove_class", {"name": "lane"}, USER) == {}
    assert isp.classes("play")["lane"]["members"] == theirs
    isp.ubus("isdf.control", "add_class", {"name": "lane", "rate": 80000}, USER)


def test_the_lease_of_another_service(isp):
    lease = isp.classes("play")["lane"]["members"][0]["lease"]
    said = error(isp.ubus("isdf.control", "remove_class_member", {"lease": lease}, USER))
    assert said == f"there is no lease '{lease}'; list names those that there are"
    assert isp.classes("play")["lane"]["members"][0]["lease"] == lease
    mine = isp.ubus("isdf.control", "list", {}, USER)["classes"]
    assert lease not in {member["lease"] for one in mine for member in one["members"]}


def test_a_host_that_does_not_exist_is_no_member(isp):
    before = isp.asked("film")
    flow = {"host": "nowhere.example"}
    said = error(isp.ubus("isdf.control", "add_class_member", {"name": "lane", "flow": flow}, USER))
    assert said == "the name servers know no host nowhere.example"
    assert isp.asked("film") == before


def test_a_service_whose_host_does_not_exist_does_not_come_up_and_says_so(isp):
    isp.publish("typo", GOOD)
    isp.sell("typo", "host=nowhere.example")
    isp.pull()
    assert isp.told("typo")["error"] == "the name servers know no host nowhere.example"
    assert isp.classes("typo") == {}
    isp.end("typo")


def test_a_host_whose_name_servers_do_not_answer_is_followed_when_they_do(isp):
    before = isp.asked("film")
    isp.net.dns.run(
        ["nft", "-f", "-"],
        input="table inet deaf { chain in { type filter hook input priority 0; udp dport 53 drop; }; }",
    )
    try:
        flow = {"host": "mirror-b.example"}
        reply = isp.ubus("isdf.control", "add_class_member", {"name": "lane", "flow": flow}, USER)
        told = "no name server answers for mirror-b.example just now; it is followed as soon as one does"
        assert reply["warning"] == told
        began = time.monotonic()
        for number in range(12):
            flow = {"host": f"h{number}.example"}
            more = isp.ubus("isdf.control", "add_class_member", {"name": "lane", "flow": flow}, USER)
            assert "warning" in more
            isp.ubus("isdf.control", "remove_class_member", {"lease": more["lease"]}, USER)
        assert time.monotonic() - began < 10, "far from the time that a service has to be ready"
    finally:
        isp.net.dns.run(["nft", "delete", "table", "inet", "deaf"])
    isp.home.client(2).run(["getent", "ahostsv4", "mirror-b.example"])

    def known() -> bool:
        members = isp.classes("film")["lane"]["members"]
        return any("192.0.2.20" in member.get("addresses", ()) for member in members)

    wait_until(known, 10, "the address in a DNS answer that passed")
    assert isp.ubus("isdf.control", "remove_class_member", {"lease": reply["lease"]}, USER) == {}
    assert isp.asked("film") == before


def test_what_a_stopped_service_still_asks_for_is_refused(isp):
    isp.ubus("isdf.service", "stop", {"service": "play"})
    said = error(isp.ubus("isdf.control", "add_class", {"name": "ghost", "rate": 80000}, "isdf-play"))
    assert said == "service play is stopped; start it first: isdf.service start"
    assert isp.classes("play") == {}
    isp.ubus("isdf.service", "start", {"service": "play"})
    assert isp.classes("play").keys() == {"lane"}
