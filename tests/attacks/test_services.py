"""A hostile service on a router with another one: it is a user of its own, and gets what that user may have."""

import re
from pathlib import Path

import pytest

from attacks.spy import ATTEMPTS
from bad_input.conftest import Isp
from isdf import ubus
from isdf.loop import Loop
from isdf.ubus import Method
from openwrt.fixtures import settle
from premises.host import wait_until
from premises.premises import Premises

pytestmark = pytest.mark.system
attack = pytest.mark.attack
CODE = Path(__file__).with_name("spy.py").read_text()
MAY = "{add_class: {max: 1, rate: 1600kbit}, add_class_member: {max: 3}}"
# What the attempt is told, where it is not told by the kernel.
DENIED = "StatusError: .*(ermission denied|ot found)"
WORDS = {
    "service-plays-the-agent": "this user may not publish it",
    "service-listens-to-processes": "there is no object 'service' for this user",
    "service-takes-anothers-lease": "there is no lease",
    "service-asks-for-too-much": "service spy may have classes of 200 kB/s in sum",
    "service-asks-for-too-many": "may have 3 members at a time",
    **dict.fromkeys(
        ("service-reads-the-device-key", "service-changes-anothers-code", "service-changes-its-own-limits",
         "service-kills-the-agent", "service-becomes-root", "service-listens-to-the-network"),
        "PermissionError: .*(denied|not permitted)",
    ),
}  # fmt: skip


class Street:
    """A home with the services `film` and `spy`, and root's own connection to its bus."""

    def __init__(self, net: Premises) -> None:
        net.start_manager(hooks=())
        self.isp, self.router, self.loop = Isp(net), net.home(1).router, Loop()
        net.add_device(net.home(1))
        self.router.start_agent()
        wait_until(lambda: net.is_known(net.home(1)), 30, "the first pull")
        self.socket = str(self.router.path("/tmp/run/ubus/ubus.sock"))
        self.bus = ubus.connect(self.socket)
        self.bus.attach(self.loop)
        self.bought, self.heard = [], []
        self.bus.add("isdf.store", {"buy": Method(lambda request: self.bought.append(request.user))})
        self.bus.listen("isdf.event", lambda event, data: self.heard.append(data))
        self.isp.publish("film")
        self.isp.sell("film")
        self.isp.pull()
        lease = self.isp.classes("film")["lane"]["members"][0]["lease"]
        self.router.write("/tmp/lease-of-film", lease)
        self.before = self.film()
        self.isp.desk(self.isp.publishing("spy", CODE, may=MAY))
        self.isp.sell("spy")
        self.isp.pull()
        settle(self.loop, lambda: "service-listens-to-the-network: " in self.router.log(), 30)

    def call(self, path: str, method: str, **args) -> dict:
        """What root is answered; by the loop, for it may be this connection that answers."""
        answers = []
        self.bus.call_async(path, method, args, lambda status, reply: answers.append((status, reply)))
        status, reply = settle(self.loop, lambda: answers, 30)[0]
        assert status == 0, (path, method, status)
        return reply

    def film(self) -> dict:
        """All that is of the other service."""
        return {
            "pids": self.isp.pids("film"), "agent": self.isp.agent(), "classes": self.isp.classes("film"),
            "listing": self.isp.ubus("isdf.service", "list")["services"]["film"],
            "code": self.router.read("/usr/lib/isdf/services/film/service.py"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def street():
    with Premises(homes=1) as net:
        made = Street(net)
        yield made
        made.bus.close()


@pytest.fixture(autouse=True)
def untouched(street):
    """Nothing of the other service is another than before, and the spy has what it was sold."""
    yield
    assert street.film() == street.before
    assert street.isp.classes("spy").keys() == {"lane"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=attack(n)) for n in ATTEMPTS], ids=list(ATTEMPTS))
def test_an_attempt_of_a_service(street, name):
    lines = [line for line in street.router.log().splitlines() if f": {name}: " in line]
    assert lines
    for line in lines:
        assert re.search(f"{name}: refused: .*{WORDS.get(name, DENIED)}", line), line
    CONTROLS.get(name, lambda street: None)(street)


def buys(street):
    street.call("isdf.store", "buy", service="film")
    assert street.bought == ["root"]


def tells(street):
    with ubus.connect(street.socket) as other:
        other.send("isdf.event", {"of": "film"})
    settle(street.loop, lambda: street.heard)
    assert street.heard == [{"of": "film"}]
    street.heard.clear()


def gives_back(street):
    (own,) = street.isp.classes("spy").values()
    lease = own["members"][0]["lease"]
    assert street.isp.ubus("isdf.control", "remove_class_member", {"lease": lease}, "isdf-spy") == {}


# The same by who may: the attempt was not for what is not there.
CONTROLS = {
    "service-stops-another": lambda street: street.call("isdf.service", "start", service="film"),
    "service-starts-a-process-as-root": lambda street: street.call("service", "list"),
    "service-lets-the-router-pull": lambda street: street.call("isdf", "pull"),
    "service-calls-the-store": buys,
    "service-forges-events": tells,
    "service-listens-to-events": tells,
    "service-listens-to-processes": lambda street: street.call("service", "list"),
    "service-takes-anothers-lease": gives_back,
    "service-reads-the-device-key": lambda street: street.router.read("/etc/isdf/identity.json"),
}


@attack("service-floods-its-log")
def test_a_service_that_floods_its_log(street):
    """The other one and the agent have their turns; what reaches the operator is the end of it, as plain text."""
    isp, start = street.isp, len(street.router.log())
    isp.manager("configure", "home1", "spy", "words=30000", "--no-push")
    isp.pull()
    wait_until(lambda: isp.told("spy")["error"] and isp.told("spy")["log"], 60, "its last words")
    assert "that is all that I have to say" in isp.told("spy")["error"]
    said = isp.told("spy")["log"]
    assert "words words" in said
    assert len(said) <= 2048
    assert all(c.isprintable() or c == "\n" for c in said)
    assert "\x1b" not in isp.manager("device", "log", "home1", "spy").stdout
    assert "service spy" in street.router.log()[start:]
    isp.manager("configure", "home1", "spy", "words=0", "--no-push")
    isp.pull()
    assert isp.told("spy")["error"] is None
