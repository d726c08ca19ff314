"""Delivery as a whole, from the push to the report: real HTTP, processes, opkg and usign; services are fakes."""

import copy
import socket
import time

import pytest
from certificates import authority
from fakes import FakeServices
from server import Server, make_root
from simulator import SECRET, Operator, make_key

from isdf.loop import Loop
from isdf.wire import derive, push_datagram
from isdf_agent.config import Config, Paths
from isdf_agent.delivery.delivery import Delivery, Tools
from isdf_agent.delivery.identity import Identities
from openwrt.programs import program

pytestmark = pytest.mark.system


class Home:
    """A router as a plain process, below a root of its own."""

    def __init__(self, root, operator, server):
        self.operator, self.server, self.loop = operator, server, Loop()
        self.paths, self.services = Paths(make_root(root)), FakeServices()
        self.config = Config(
            manager="", claim="", insecure=False, pull_interval=1800, ready_timeout=30, push_port=0,
            dataplane="memory", mark_mask=0xFF000000, line=None, wan="wan", lan=("br-lan",),
        )  # fmt: skip
        self.identities = Identities(self.paths.flash)
        begun = self.identities.begin(server.url, operator.claim())
        self.become(self.identities.complete(begun, "home1", None, operator.keys()))

    def become(self, identity):
        """Be the router of `identity` from now on, at the next start of its agent."""
        self.identity, self.server.device_key = identity, identity.device_key
        self.boot()

    def boot(self):
        tools = Tools(opkg=tuple(program("opkg")), usign=tuple(program("usign")))
        self.delivery = Delivery(
            self.loop, self.config, self.paths, self.identity, self.services, tools=tools, version="0.1.0"
        )
        self.delivery.start()

    def until(self, condition, seconds=20):
        """Serve until `condition()` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.delivery.status()
            self.loop.step(0.05)

    def stop(self):
        self.delivery.stop()
        self.until(lambda: not self.delivery.busy)

    def push(self, sequence):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(
                push_datagram(derive(self.identity.device_key, "push"), sequence), ("::1", self.delivery.push_port)
            )

    def reported(self, serial):
        return any(report["serial"] == serial for report in self.server.reports)


@pytest.fixture
def home(tmp_path):
    operator = Operator()
    now = int(time.time())
    operator.issued, operator.expires, operator.serial = now, now + 7 * 86400, now * 1000
    operator.authority = authority().pem
    with Server(operator, authority().certify(tmp_path)) as server:
        home = Home(tmp_path, operator, server)
        home.until(lambda: home.reported(operator.serial))
        yield home
        home.stop()
        server.shutdown()


def test_a_purchase_is_pushed_installed_started_and_reported(home):
    home.operator.subscribe("tv", config={"rate": "200kBps"}, since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    assert home.services.running == {"tv": ("1.0.0", {"rate": "200kBps"})}
    report = home.server.reports[-1]
    assert report["applied"] is True
    assert report["error"] is None
    assert report["agent"] == "0.1.0"
    assert [(s["name"], s["version"], s["state"]) for s in report["services"]] == [("tv", "1.0.0", "running")]
    assert (home.paths.services / "tv/service.py").exists()
    timeline = home.delivery.last_timeline
    names = ["push_received", "pull_started", "request_sent", "assignment_verified", "packages_fetched", "installed",
             "started", "ready"]  # fmt: skip
    assert [*sorted((n for n in names), key=timeline.__getitem__)] == names
    assert timeline["ready"] - timeline["push_received"] < 5000


def test_a_new_configuration_needs_no_package_manager(home):
    home.operator.subscribe("tv", config={"rate": 1}, since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    home.server.paths()
    home.operator.configure("tv", config={"rate": 2})
    home.push(2)
    home.until(lambda: home.reported(home.operator.serial))
    assert home.services.configs() == {"tv": {"rate": 2}}
    assert home.server.paths() == ["assignment", "report"]


def test_an_attack_on_the_feed_changes_nothing_that_runs_and_is_reported(home):
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    before = home.operator.serial
    home.operator.subscribe("tv", "1.1.0", since=home.operator.issued)
    package = bytearray(home.operator.packages[home.operator.entries["tv"].filename])
    package[100] ^= 1
    home.server.faults[".ipk"] = lambda handler: handler.answer(200, bytes(package))
    home.push(2)
    home.until(lambda: home.server.reports[-1]["error"])
    assert home.services.versions() == {"tv": "1.0.0"}
    assert home.server.reports[-1]["serial"] == before
    assert home.server.reports[-1]["applied"] is False
    assert "isdf-service-tv_1.1.0_all.ipk" in home.server.reports[-1]["error"]["detail"]
    home.server.faults.clear()
    home.push(3)
    home.until(lambda: home.reported(home.operator.serial))
    assert home.services.versions() == {"tv": "1.1.0"}
    assert home.server.reports[-1]["error"] is None


def test_a_version_that_does_not_start_gives_way_to_the_one_before(home):
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    home.services.broken["tv", "1.1.0"] = "the process ended with status 1"
    home.operator.subscribe("tv", "1.1.0", since=home.operator.issued)
    home.push(2)
    home.until(lambda: home.reported(home.operator.serial))
    assert home.services.versions() == {"tv": "1.0.0"}
    assert (home.paths.services / "tv/service.py").read_text() == "# tv 1.0.0\n"
    assert "the process ended with status 1" in home.server.reports[-1]["services"][0]["error"]


@pytest.mark.parametrize("serials", [0, 1], ids=["nothing", "the same again"])
def test_a_push_that_sells_one_service_does_not_try_another_again_and_one_without_news_does(home, serials):
    home.operator.subscribe("tv", since=home.operator.issued)
    home.services.broken["tv", "1.0.0"] = "it did not call ready"
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    home.services.log.clear()
    home.operator.subscribe("vpn", since=home.operator.issued)
    home.push(2)
    home.until(lambda: home.reported(home.operator.serial))
    assert [words for words in home.services.log if words[0] == "start"] == [("start", "vpn", "1.0.0")]
    home.services.broken.clear()
    home.operator.serial += serials
    home.push(3)
    home.until(lambda: "tv" in home.services.running)


def test_a_pass_ends_by_itself_and_is_reported(home):
    home.operator.subscribe("tv", since=home.operator.issued, until=int(time.time()) + 3)
    home.push(1)
    home.until(lambda: home.services.versions() == {"tv": "1.0.0"})
    home.until(lambda: [s["state"] for s in home.server.reports[-1]["services"]] == ["ended"])
    assert home.services.versions() == {}
    assert not (home.paths.services / "tv/service.py").exists()


def test_a_restart_with_the_manager_away_runs_what_ran(home):
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    home.stop()
    home.services.reboot()
    home.server.faults["assignment"] = lambda handler: handler.answer(503)
    home.boot()
    home.until(lambda: home.services.versions() == {"tv": "1.0.0"})


def test_secrets_are_in_no_status_and_in_no_log(home, caplog):
    home.server.faults[".ipk"] = lambda handler: handler.answer(404)
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.delivery.status()["error"])
    for text in (caplog.text, str(home.delivery.status())):
        assert SECRET not in text
        assert home.identity.device_key.hex() not in text


def test_new_keys_of_the_manager_are_kept_and_used_after_a_restart(home):
    home.operator.assignment_key = make_key(5)
    home.operator.keys_version += 1
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    assert home.services.versions() == {"tv": "1.0.0"}
    assert (home.paths.flash / "keys").read_bytes() == home.operator.keys()
    home.stop()
    home.server.paths()
    home.boot()
    home.until(lambda: not home.delivery.busy)
    assert "keys" not in home.server.paths()


def test_whoever_stole_the_assignment_key_has_used_up_nothing_when_it_was_replaced(home):
    """The highest serial, a floor that no push exceeds, and a time at which everything has expired."""
    honest = home.operator
    thief = copy.copy(honest)
    thief.entries, thief.packages = {}, {}
    thief.serial = thief.push_floor = 2**53 - 1
    thief.issued, thief.expires = honest.issued + 80_000, honest.expires + 80_000
    home.server.operator = thief
    home.delivery.pull()
    home.until(lambda: home.reported(thief.serial))
    home.server.operator = honest
    honest.assignment_key, honest.keys_version = make_key(5), honest.keys_version + 1
    honest.subscribe("tv", since=honest.issued)
    home.delivery.pull()
    home.until(lambda: home.services.versions() == {"tv": "1.0.0"})
    honest.subscribe("vpn", since=honest.issued)
    home.push(honest.issued * 1000)
    home.until(lambda: "vpn" in home.services.versions())
    assert home.delivery.status()["clock_set"]


def test_a_router_that_is_another_device_now_takes_its_first_assignment_whatever_the_serial_of_the_last(home):
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(1)
    home.until(lambda: home.reported(home.operator.serial))
    home.stop()
    other = Operator("home2")
    other.authority, other.token = home.operator.authority, bytes(10)
    other.issued, other.expires, other.serial = home.operator.issued, home.operator.expires, 5
    other.subscribe("vpn", since=other.issued)
    home.server.operator = home.operator = other
    begun = home.identities.begin(home.server.url, other.claim())
    home.become(home.identities.complete(begun, "home2", None, other.keys()))
    home.until(lambda: home.services.versions() == {"vpn": "1.0.0"})
    home.until(lambda: home.reported(other.serial))


def test_a_push_that_was_recorded_is_dead_after_a_restart_too(home):
    """The floor of the sequence is in the assignment: a push costs no write to flash."""
    home.operator.push_floor = 70
    home.operator.subscribe("tv", since=home.operator.issued)
    home.push(70)
    home.until(lambda: home.reported(home.operator.serial))
    home.stop()
    home.boot()
    home.until(lambda: not home.delivery.busy)
    home.until(lambda: home.delivery.status()["last_contact"])
    home.server.paths()
    home.push(70)
    home.loop.step(2)  # until it is read
    assert not home.delivery.busy
    home.push(71)
    home.until(lambda: "assignment" in home.server.paths())


def test_a_pull_tells_from_where_it_asked(home):
    home.push(1)
    home.until(lambda: home.server.paths())
    home.until(lambda: not home.delivery.busy)
    home.server.paths()
    home.delivery.interface_changed()
    assert not home.delivery.busy
