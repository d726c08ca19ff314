"""Killed, or without power, at every step of a pull and of an enrolment.

The steps are found by tracing: a first run writes down each change of a file (see `cut`), and then it is done again for
each of them, and cut off just before it. In between the manager is away: what is on flash alone must give the old or
the new state, never a mix. Then the manager is there again, and the job is finished.
"""

import copy
import json
import queue
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from certificates import authority
from house import LINE, House
from server import Server
from simulator import Operator, make_key

from isdf.formats import keys, usign
from openwrt.bus import Bus
from openwrt.programs import program

pytestmark = pytest.mark.system

CUT = Path(__file__).parent / "cut"
OLD = {"tv": ("1.0.0", {"rate": 1}), "mail": ("1.0.0", {})}
NEW = {"tv": ("1.1.0", {"rate": 2}), "vpn": ("1.0.0", {})}
PACKAGES = {f"isdf-service-{name}": version for name, (version, _) in NEW.items()}
AT_ONCE = 3


def away(handler):
    handler.answer(503)


def operator(device="home1", services=()):
    operator = Operator(device)
    operator.authority, operator.line = authority().pem, LINE
    operator.issued = int(time.time())
    operator.expires = operator.issued + 7 * 86400
    for name, (version, config) in dict(services).items():
        operator.subscribe(name, version, config=config, since=operator.issued)
    return operator


def known(house):
    """What `house` knows itself by: the device, its key (hex) and the version of its manager's keys; None: not yet.

    Nothing is ended here that the agent may just be about to end.
    """
    folder = house.root / "etc/isdf"
    identity, statement, begun = (_read(folder / name) for name in ("identity.json", "keys", "enrolment.json"))
    if not identity or not statement or (begun and "keys" in json.loads(begun)):
        return None
    told = json.loads(identity)
    return told["device"], told["device_key"], keys.parse(usign.split_embedded(statement)[1]).version


def _read(path):
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


class Pull:
    """From the old set of services to the new one, with new keys of the manager."""

    words = ()

    def __init__(self, folder):
        old, self._new = operator(services=OLD), operator(services=NEW)
        self._new.assignment_key, self._new.keys_version = make_key(5), old.keys_version + 1
        self._new.serial = old.serial + len(NEW)
        self.template, self.services = settled(folder, old)
        self._new.claimed = old.claimed

    def manager(self):
        return self._new

    def is_done(self, house, operator):
        return house.procd.running == NEW and house.installed() == PACKAGES and house.delivery().get("applied")

    def is_settled(self, house):
        """Without the manager: all that should run does."""
        return house.delivery().get("error") and house.procd.running in (OLD, NEW)

    def go_on(self, house, url):
        """What a person does who is impatient."""
        house.pull()

    def check(self, house, operator):
        assert known(house) == (operator.device, operator.claimed, operator.keys_version)


class Enrolment:
    """A new router becomes a device; the answer of its manager may be lost."""

    words = ()

    def __init__(self, folder):
        self._operator = operator()
        self.template, self.services = new(folder, manager="MANAGER", claim=self._operator.claim()), ()

    def manager(self):
        return self._operator

    def is_done(self, house, operator):
        return house.delivery().get("last_contact")

    def is_settled(self, house):
        status = house.status()
        return status.get("enrolled") or status.get("enrolment_error")

    def go_on(self, house, url):
        house.pull()

    def check(self, house, operator):
        assert known(house) == (operator.device, operator.claimed, operator.keys_version)
        assert not (house.root / "etc/isdf/enrolment.json").exists()


class Another(Enrolment):
    """A router with services becomes another device, of which it is told by another claim code; and then pulls."""

    def __init__(self, folder):
        old, self._operator = operator(services=OLD), operator("home2", NEW)
        self._operator.token, self._operator.keys_version = bytes(10), old.keys_version + 1
        self.template, self.services = settled(folder, old)
        config = self.template / "etc/config/isdf"
        config.write_text(config.read_text().replace(old.claim(), self._operator.claim()))

    def is_done(self, house, operator):
        return house.procd.running == NEW and house.installed() == PACKAGES and super().is_done(house, operator)

    def is_settled(self, house):
        """The whole of the old identity or of the new one, and the services of one assignment."""
        version = self._operator.keys_version
        if found := known(house):
            assert (found[0], found[2]) in (("home1", version - 1), ("home2", version))
        return house.delivery().get("error") and house.procd.running in (OLD, NEW)


class Command(Enrolment):
    """`isdf-agent enroll`; what it did not finish, the agent's start does."""

    def __init__(self, folder):
        self._operator = operator()
        self.template, self.services = new(folder), ()
        self.words = ("enroll", "MANAGER", self._operator.claim())

    def go_on(self, house, url):
        """The command again, if it had not even begun; the agent knows of it when it is started again."""
        if known(house) or (house.root / "etc/isdf/enrolment.json").exists():
            house.pull()
        else:
            assert house.command("enroll", url, self._operator.claim()).returncode == 0
            house.kill()
            house.start()


def settled(folder, operator):
    """The root of a house that runs what `operator` sold it, and the state of its procd."""
    with Place(folder, operator) as place:
        house = House(folder / "settled", place.bus)
        house.configure(manager=place.server.url, claim=operator.claim())
        house.start()
        running = {name: (entry.version, entry.config) for name, entry in operator.entries.items()}
        house.until(lambda: house.procd.running == running and house.delivery().get("applied"))
        house.stop()
        house.replace(place.server.url, "MANAGER")
        house.close()
        return house.root, house.procd.state()


def new(folder, **options):
    """The root of a house that nobody has started yet."""
    with Bus(folder) as bus:
        house = House(folder / "new", bus)
        house.configure(**options)
        house.close()
        return house.root


class Place:
    """A manager and a bus of its own, where one house after the other is cut off."""

    def __init__(self, folder, operator):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.server, self.bus = Server(operator, authority().certify(folder)), Bus(folder)

    def __enter__(self):
        self.bus.start()
        return self

    def __exit__(self, *_):
        self.bus.stop()
        self.server.shutdown()
        self.server.server_close()

    def house(self, story, whom, at):
        """One whose agent, or command, has just been started, to be cut off at step `at`."""
        shutil.rmtree(self.folder / "house", ignore_errors=True)
        self.server.operator = copy.copy(story.manager())
        self.server.faults.clear()
        house = House(self.folder / "house", self.bus, story.template)
        house.replace("MANAGER", self.server.url)
        house.reboot() if whom == "all" else house.procd.reboot(story.services)
        for tool in ("opkg", "usign"):
            words = program(tool)
            if words[0] == sys.executable:
                house.program(tool, [sys.executable, "-S", str(CUT / "run.py"), words[-1]])
        house.start(
            *(word.replace("MANAGER", self.server.url) for word in story.words),
            PYTHONPATH=str(CUT), CUT_LOG=str(house.folder / "steps"), CUT_ROOT=f"{house.root}/", CUT_AT=str(at),
            CUT_BUT=f"{house.root}/var/" if whom == "all" else "-", CUT_WHOM=whom,
        )  # fmt: skip
        return house

    def steps(self, story, whom):
        """What is changed where nobody cuts it off."""
        house = self.house(story, whom, 0)
        try:
            house.until(lambda: house.agent.poll() is not None or story.is_done(house, self.server.operator))
            return (house.folder / "steps").read_text().splitlines()
        finally:
            house.close()

    def cut(self, story, whom, at):
        """Cut off at step `at`; start it again without the manager, then with it."""
        house = self.house(story, whom, at)
        done = lambda: story.is_done(house, self.server.operator)  # noqa: E731
        try:
            house.until(lambda: house.agent.poll() is not None or done())
            if house.agent.poll() is None:
                house.kill()  # two did something at once, and now one step was less
            for path in ("/keys", "/enroll", "assignment"):
                self.server.faults[path] = away
            if whom == "all":
                house.reboot()
            house.start()
            house.until(lambda: story.is_settled(house))
            self.server.faults.clear()
            house.until(lambda: done() or story.go_on(house, self.server.url))
            story.check(house, self.server.operator)
            assert "Traceback" not in house.log.read_text()
        finally:
            house.close()


def everywhere(folder, story, whom):
    """Cut `story` off at each of its steps, some houses at once; what went wrong, by step."""
    with Place(folder / "whole", story.manager()) as place:
        steps = place.steps(story, whom)
    assert len(steps) > 5, steps
    waiting, wrong = queue.Queue(), {}
    for at in range(1, len(steps) + 1):
        waiting.put(at)

    def work(number):
        with Place(folder / f"place{number}", story.manager()) as place:
            while not waiting.empty():
                at = waiting.get()
                try:
                    place.cut(story, whom, at)
                except BaseException as error:
                    wrong[at, steps[at - 1]] = error

    workers = [threading.Thread(target=work, args=(number,)) for number in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


@pytest.mark.parametrize(
    ("story", "whom"), [(Pull, "agent"), (Enrolment, "agent"), (Command, "agent"), (Another, "all")]
)
def test_what_is_cut_off_at_any_step_is_finished_and_leaves_no_mix(story, whom):
    with tempfile.TemporaryDirectory() as name:  # of a short name, for the paths of sockets are bounded
        assert everywhere(Path(name), story(Path(name)), whom) == {}
