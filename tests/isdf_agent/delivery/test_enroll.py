"""An enrolment as its own process, against a manager and against somebody in between."""

import json
import subprocess
import sys

import pytest
from certificates import Authority, authority
from server import Server
from simulator import Operator, make_key

from openwrt.programs import program

pytestmark = pytest.mark.system

KEY = bytes(range(32)).hex()
LINE = {"down": 8000, "up": 8000, "base_down": 1200, "base_up": 1200}


class Newcomer:
    def __init__(self, folder, operator, server):
        self.folder, self.operator, self.server = folder, operator, server

    def enrol(self, **told):
        """The result; `told` overrules what it is told."""
        parameters = {
            "manager": self.server.url, "code": self.operator.claim(), "insecure": False, "device_key": KEY,
            "keys": str(self.folder / "keys"), "usign": program("usign"), "run": str(self.folder / "run"),
            "deadline": 20,
        } | told  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-m", "isdf_agent.delivery.enroll"], input=json.dumps(parameters).encode(),
            capture_output=True, check=False,
        )  # fmt: skip
        assert not done.stderr
        assert not list((self.folder / "run").glob("enrol-*"))
        return json.loads(done.stdout)

    def refused(self, **told):
        """The sentence of a refusal, after which nobody has heard of the token and of the key."""
        result = self.enrol(**told)
        return result["error"]["detail"]

    def told(self):
        """What was sent to the manager in bodies."""
        return [path for method, path in self.server.log if method == "POST"]


@pytest.fixture
def operator():
    operator = Operator()
    operator.authority = authority().pem
    return operator


@pytest.fixture
def newcomer(tmp_path, operator):
    with Server(operator, authority().certify(tmp_path)) as server:
        yield Newcomer(tmp_path, operator, server)
        server.shutdown()


def test_a_claim_code_makes_a_router_a_device(newcomer, operator):
    operator.line = LINE
    result = newcomer.enrol()
    assert result == {"device": "home1", "line": LINE, "keys": operator.keys().decode()}
    assert operator.claimed == KEY
    assert [path for _, path in newcomer.server.log] == ["/keys", "/enroll/seal", "/enroll"]


def test_a_lost_answer_is_asked_for_again_with_the_same_key(newcomer, operator):
    first = newcomer.enrol()
    assert newcomer.enrol() == first


def test_a_second_router_with_the_same_code_is_refused(newcomer):
    newcomer.enrol()
    result = newcomer.enrol(device_key=bytes(32).hex())
    assert result["error"]["type"] == "conflict"
    assert "another router was enrolled with this claim code" in result["error"]["detail"]


def test_a_code_that_the_manager_does_not_know_is_refused(newcomer, operator):
    code = operator.claim()
    operator.token = bytes(10)
    assert "does not know this claim code" in newcomer.refused(code=code)


def test_a_mistyped_code_is_never_sent(newcomer, operator):
    code = operator.claim()
    wrong = code[:-1] + ("A" if code[-1] != "A" else "B")
    assert "mistyped" in newcomer.refused(code=wrong)
    assert newcomer.server.log == []


def test_another_manager_hears_neither_the_code_nor_the_key(newcomer, operator):
    code, operator.catalogue_key = operator.claim(), make_key(9)
    assert "not the one of the claim code" in newcomer.refused(code=code)
    assert newcomer.told() == []


def test_somebody_in_between_with_the_managers_statement_hears_neither_the_code_nor_the_key(newcomer, tmp_path):
    newcomer.server.tls = Authority().certify(tmp_path)
    sentence = newcomer.refused()
    assert "not of the authority" in sentence
    assert "told neither the claim code nor this router's key" in sentence
    assert newcomer.told() == []


def test_whoever_shows_keys_that_were_replaced_hears_neither_the_code_nor_the_key(newcomer, operator):
    """He holds the key of the authority that they name, and may ask the manager itself for the seal."""
    replaced = operator.keys()
    operator.keys_version += 1
    newcomer.server.faults["/keys"] = lambda handler: handler.answer(200, replaced)
    assert "does not show that these are the manager's newest keys" in newcomer.refused()
    assert newcomer.told() == ["/enroll/seal"]
    newcomer.server.faults.clear()
    assert newcomer.enrol()["device"] == "home1"


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"seal": 5}', b'{"seal": "' + b"0" * 64 + b'"}', b'{"seal":"\xff"}']
)
def test_without_a_seal_nothing_is_told(newcomer, answer):
    newcomer.server.faults["/enroll/seal"] = lambda handler: handler.answer(200, answer)
    assert newcomer.refused()
    assert newcomer.told() == ["/enroll/seal"]


def test_somebody_in_between_cannot_forge_the_statement(newcomer, operator, tmp_path):
    mallory = Authority()
    newcomer.server.tls = mallory.certify(tmp_path)
    forged = operator.keys(key=make_key(9), authority=mallory.pem)
    newcomer.server.faults["/keys"] = lambda handler: handler.answer(200, forged)
    assert "not signed by the catalogue key" in newcomer.refused()
    assert newcomer.told() == []


def test_an_older_statement_than_the_one_on_flash_is_refused(newcomer, operator, tmp_path):
    (tmp_path / "keys").write_bytes(operator.keys(version=operator.keys_version + 1))
    assert "is not higher than" in newcomer.refused()
    assert newcomer.told() == []


def test_a_damaged_statement_on_flash_is_no_obstacle(newcomer, tmp_path):
    (tmp_path / "keys").write_bytes(b"half")
    assert newcomer.enrol()["device"] == "home1"


def test_http_needs_to_be_allowed(newcomer):
    newcomer.server.tls = None
    assert "needs option insecure" in newcomer.refused()
    assert newcomer.server.log == []
    assert newcomer.enrol(insecure=True)["device"] == "home1"


ANSWERS = {
    "not JSON": b"welcome",
    "no device": b"{}",
    "a name that is none": b'{"device": "../../etc", "line": null}',
    "a line of half its rates": b'{"device": "home1", "line": {"down": 8000}}',
    "a line of words": b'{"device": "home1", "line": {"down": "x", "up": 1, "base_down": 1, "base_up": 1}}',
    "a base above the line": b'{"device": "home1", "line": {"down": 10, "up": 10, "base_down": 99, "base_up": 9}}',
    "a rate without end": b'{"device": "home1", "line": {"down": 1e99, "up": 10, "base_down": 9, "base_up": 9}}',
    "a list": b"[1]",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_makes_no_sense_is_told_in_a_sentence(newcomer, answer):
    newcomer.server.faults["/enroll"] = lambda handler: handler.answer(200, ANSWERS[answer])
    assert "makes no sense" in newcomer.refused()


def test_a_busy_manager_says_when_to_come_again(newcomer):
    newcomer.server.faults["/enroll"] = lambda handler: handler.answer(429, Retry_After="77")
    assert newcomer.enrol()["retry_after"] == 77


def test_no_manager_is_told_in_a_sentence(newcomer):
    assert "does not answer" in newcomer.refused(manager="https://127.0.0.1:1")


def test_a_full_memory_file_system_is_told_in_a_sentence(newcomer):
    assert "could not use" in newcomer.refused(run="/proc/isdf")


def test_a_statement_without_end_is_not_read_to_its_end(newcomer):
    newcomer.server.faults["/keys"] = lambda handler: handler.answer(200, bytes(1 << 20))
    assert "longer than" in newcomer.refused()
