"""A new router, from the claim code to its first service: the whole agent as a process."""

import os
import stat
import time

import pytest
from certificates import authority
from house import LINE, House
from server import Server
from simulator import Operator

from isdf_agent.config import Paths
from isdf_agent.delivery.identity import Identities
from isdf_agent.delivery.joining import lock
from openwrt.fixtures import bus

__all__ = ["bus"]
pytestmark = pytest.mark.system


@pytest.fixture
def operator():
    operator = Operator()
    operator.authority, operator.line = authority().pem, LINE
    operator.issued = int(time.time())
    operator.expires = operator.issued + 7 * 86400
    return operator


@pytest.fixture
def server(tmp_path, operator):
    with Server(operator, authority().certify(tmp_path)) as server:
        yield server
        server.shutdown()


@pytest.fixture
def house(tmp_path, bus, server):
    house = House(tmp_path, bus)
    yield house
    house.close()


def is_enrolled(house):
    status = house.status()
    return status if status.get("enrolled") else None


def test_a_router_of_a_factory_enrols_when_its_agent_starts(house, server, operator):
    house.configure(manager=server.url, claim=operator.claim())
    house.start()
    status = house.until(lambda: is_enrolled(house))
    assert (status["device"], status["manager"], status["insecure"]) == ("home1", server.url, False)
    assert status["enrolment_error"] is None
    assert status["control"]["line"] == {name: rate * 1000 for name, rate in LINE.items()}


def test_another_agent_takes_over_in_the_same_process(house, server, operator):
    """procd knows the process; it must not think that it ended."""
    house.configure(manager=server.url, claim=operator.claim())
    house.start()
    house.until(lambda: is_enrolled(house))
    assert house.agent.poll() is None


def test_it_says_on_ubus_what_it_waits_for(house, server, operator):
    house.start()
    status = house.until(house.status)
    assert (status["enrolled"], status["device"], status["manager"]) == (False, None, None)
    assert "isdf-agent enroll URL CODE" in status["enrolment_error"]["detail"]


def test_a_manager_that_does_not_answer_is_named(house, server, operator):
    house.configure(manager="https://127.0.0.1:1", claim=operator.claim())
    house.start()
    house.until(lambda: (house.status().get("enrolment_error") or {}).get("type") == "unavailable")
    assert "Connection refused" in house.status()["enrolment_error"]["detail"]


def test_a_mistyped_code_is_named(house, server, operator):
    house.configure(manager=server.url, claim=operator.claim()[:-4] + "AAAA")
    house.start()
    house.until(lambda: "mistyped" in str(house.status()))
    assert server.log == []


def test_a_router_that_knows_no_line_says_so(house, server, operator):
    operator.line = None
    house.configure(manager=server.url, claim=operator.claim())
    house.start()
    status = house.until(lambda: is_enrolled(house))
    assert status["device"] == "home1"
    assert "what its line carries" in status["enrolment_error"]["detail"]


def test_a_command_enrols_at_once(house, server, operator):
    done = house.command("enroll", server.url, operator.claim())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"this router is device home1 of {server.url} now")
    house.start()
    assert house.until(lambda: is_enrolled(house))["device"] == "home1"


def test_a_command_goes_before_the_code_in_the_configuration(house, server, operator):
    house.configure(manager=server.url, claim=operator.claim())
    house.start()
    before = house.until(lambda: is_enrolled(house))
    operator.token, operator.device, operator.claimed = bytes(10), "home2", None
    assert before["device"] == "home1"
    house.stop()
    assert house.command("enroll", server.url, operator.claim()).returncode == 0
    house.start()
    assert house.until(lambda: is_enrolled(house))["device"] == "home2"
    server.paths()
    house.kill()
    house.start()
    house.until(lambda: is_enrolled(house))
    assert "enroll" not in server.paths()


@pytest.mark.parametrize(
    ("words", "sentence", "status"),
    [
        (["{url}", "ABCD-EFGH"], "the claim code is not 9 groups", 2),
        (["{url}", "{other}"], "does not know this claim code", 1),
        (["http://127.0.0.1:1", "{code}"], "http needs --insecure", 2),
        (["nowhere", "{code}"], "is not an address such as", 2),
        (["https://127.0.0.1:1", "{code}"], "does not answer: Connection refused", 1),
    ],
)
def test_a_command_that_fails_says_why_in_a_sentence(house, server, operator, words, sentence, status):
    code = operator.claim()
    other, operator.token = code, bytes(10)
    values = {"url": server.url, "code": operator.claim(), "other": other}
    done = house.command("enroll", *(word.format(**values) for word in words))
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("isdf-agent: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_refused_code_leaves_nothing_behind(house, server, operator):
    other, operator.token = operator.claim(), bytes(10)
    house.command("enroll", server.url, other)
    assert list((house.root / "etc/isdf").iterdir()) == []


def test_what_met_no_answer_is_gone_on_with_by_the_agent_and_the_same_key(house, server, operator):
    server.faults["/enroll"] = lambda handler: handler.answer(500)
    assert house.command("enroll", server.url, operator.claim()).returncode == 1
    key = Identities(house.root / "etc/isdf").under_way().identity.device_key
    server.faults.clear()
    house.start()
    assert house.until(lambda: is_enrolled(house))["device"] == "home1"
    assert operator.claimed == key.hex()


def test_http_at_the_command_line_is_for_this_manager_and_is_shown(house, server, operator):
    server.tls = None
    assert house.command("enroll", server.url, operator.claim()).returncode == 2
    assert house.command("enroll", server.url, operator.claim(), "--insecure").returncode == 0
    house.start()
    assert house.until(lambda: is_enrolled(house))["insecure"] is True
    house.until(lambda: house.status()["delivery"]["last_contact"])


def test_a_command_waits_for_the_enrolment_of_the_agent(house, server, operator):
    held = lock(Paths(house.root), wait=False)
    house.loop.after(0.3, lambda: os.close(held))
    assert house.command("enroll", server.url, operator.claim()).returncode == 0


def test_files_of_the_agent_are_roots_alone_and_no_secret_is_in_its_log(house, server, operator):
    house.configure(manager=server.url, claim=operator.claim())
    house.start()
    house.until(lambda: is_enrolled(house))
    house.until(lambda: house.status()["delivery"]["last_contact"])
    for path in [*(house.root / "etc/isdf").rglob("*"), *(house.root / "var/run/isdf").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    identity, _ = Identities(house.root / "etc/isdf").load()
    log = house.log.read_text()
    for secret in (identity.device_key.hex(), operator.claim(), operator.token.hex()):
        assert secret not in log
