"""From a claim code in the configuration to an identity: when it is tried, and what is in force meanwhile."""

import os

import pytest
from certificates import authority
from server import Server
from simulator import Operator

from isdf.loop import Loop
from isdf_agent.config import Config, Paths
from isdf_agent.delivery.identity import Identities
from isdf_agent.delivery.joining import Joining, lock, needed
from openwrt.programs import program

URL = "https://manager.example"
LINE = {"down": 8000, "up": 8000, "base_down": 1200, "base_up": 1200}


def config(claim="", manager=URL):
    return Config(
        manager=manager if claim else "", claim=claim, insecure=False, pull_interval=1800, ready_timeout=30,
        push_port=0, dataplane="memory", mark_mask=0xFF000000, line=None, wan="wan", lan=("br-lan",),
    )  # fmt: skip


def other_code():
    other = Operator()
    other.token = bytes(10)
    return other.claim()


class Router:
    """`needed` of a router's configuration and flash."""

    def __init__(self, folder):
        self.identities, self.operator = Identities(folder), Operator()
        self.code = self.operator.claim()

    def enrol(self, code=None, manager=URL, **options):
        begun = self.identities.begin(manager, code or self.code, **options)
        return self.identities.complete(begun, "home1", LINE, self.operator.keys())

    def needed(self, **configuration):
        found = self.identities.load()
        return needed(config(**configuration), found and found[0], self.identities)


@pytest.fixture
def router(tmp_path):
    return Router(tmp_path / "isdf")


# -- what is to be done


def test_without_a_claim_nothing_is_to_be_done(router):
    assert router.needed() is None


def test_a_claim_of_a_factory_image_is(router):
    begun = router.needed(claim=router.code)
    assert (begun.code, begun.identity.manager) == (router.code, URL)
    assert router.identities.under_way() == begun


def test_a_claim_that_was_used_is_not_used_again(router):
    router.enrol()
    assert router.needed(claim=router.code) is None
    assert router.needed(claim=router.code.lower().replace("-", " ")) is None


def test_a_claim_that_goes_away_after_it_was_used_changes_nothing(router):
    router.enrol()
    assert router.needed() is None


def test_another_claim_is_an_enrolment_anew_with_another_key(router):
    identity = router.enrol()
    begun = router.needed(claim=other_code())
    assert begun.code == other_code()
    assert begun.identity.device_key != identity.device_key
    assert router.identities.load()[0] == identity


def test_the_claim_at_another_address_is_an_enrolment_anew_with_the_same_key(router):
    identity = router.enrol()
    begun = router.needed(claim=router.code, manager="https://moved.example")
    assert begun.identity.manager == "https://moved.example"
    assert begun.identity.device_key == identity.device_key


def test_an_address_that_was_mended_ends_what_was_begun_with_the_wrong_one(router):
    router.enrol()
    router.needed(claim=router.code, manager="https://wrong.example")
    assert router.needed(claim=router.code) is None
    assert router.identities.under_way() is None


def test_a_claim_that_was_mended_takes_the_place_of_the_one_under_way(router):
    router.needed(claim=other_code())
    begun = router.needed(claim=router.code)
    assert begun.code == router.code
    assert router.identities.under_way() == begun


def test_what_was_cut_off_is_gone_on_with_by_the_same_key(router):
    key = router.needed(claim=router.code).identity.device_key
    assert router.needed(claim=router.code).identity.device_key == key


def test_what_was_cut_off_at_the_command_line_is_gone_on_with(router):
    begun = router.identities.begin(URL, router.code, insecure=True)
    assert router.needed() == begun


def test_the_command_line_overrules_the_claim_of_the_configuration_as_it_was(router):
    overrules = router.needed(claim=other_code()).identity.claim
    begun = router.identities.begin(URL, router.code, overrules=overrules)
    assert router.needed(claim=other_code()) == begun
    router.identities.complete(begun, "home1", LINE, router.operator.keys())
    assert router.needed(claim=other_code()) is None


def test_the_command_line_overrules_the_address_of_the_configuration_as_it_was(router):
    digest = router.needed(claim=router.code).identity.claim
    router.enrol(manager="https://moved.example", overrules=digest)
    assert router.needed(claim=router.code) is None


def test_a_later_claim_in_the_configuration_overrules_the_command_line(router):
    router.enrol(code=other_code())
    assert router.needed(claim=router.code).code == router.code


# -- doing it


class Home:
    """A router with a loop, against a manager with real HTTP."""

    def __init__(self, folder, operator, server):
        self.paths, self.operator, self.server, self.loop = Paths(folder), operator, server, Loop()
        self.identities, self.joined, self.spread = Identities(self.paths.flash), [], []
        self.claim = operator.claim()

    def start(self, **configuration):
        found = self.identities.load()
        told = config(**{"claim": self.claim, "manager": self.server.url} | configuration)
        self.joining = Joining(
            self.loop, told, self.paths, self.identities, found and found[0], lambda: self.joined.append(1),
            usign=tuple(program("usign")), uniform=self._uniform,
        )  # fmt: skip
        self.joining.start()

    def _uniform(self, low, high):
        self.spread.append((low, high))
        return 0.0  # seconds until the next try

    def until(self, condition):
        for _ in range(400):
            if condition():
                return
            self.loop.step(0.05)
        raise AssertionError(self.joining.error)


@pytest.fixture
def home(tmp_path):
    operator = Operator()
    operator.authority = authority().pem
    with Server(operator, authority().certify(tmp_path)) as server:
        home = Home(tmp_path / "root", operator, server)
        yield home
        home.joining.stop()
        home.until(lambda: not home.joining.busy)
        server.shutdown()


@pytest.mark.system
def test_a_router_with_a_claim_becomes_a_device(home):
    home.operator.line = LINE
    home.start()
    assert home.joining.error is None
    home.until(lambda: home.joined)
    identity, keys = home.identities.load()
    assert (identity.device, identity.line) == ("home1", LINE)
    assert identity.device_key.hex() == home.operator.claimed
    assert keys.authority == home.operator.authority
    assert home.joining.error is None


@pytest.mark.system
def test_it_is_tried_until_the_manager_answers_ever_more_rarely_and_spread(home):
    home.server.faults["/keys"] = lambda handler: handler.answer(500)
    home.start()
    home.until(lambda: len(home.spread) == 3)
    assert "status 500" in home.joining.error.detail
    assert home.spread == [(0.5, 1.5)] * 3
    home.server.faults.clear()
    home.until(lambda: home.joined)


@pytest.mark.system
def test_the_identity_before_stays_until_the_new_one_is_complete(home):
    home.start()
    home.until(lambda: home.joined)
    before = home.identities.load()
    home.operator.token, home.operator.claimed = bytes(10), bytes(32).hex()
    home.start(claim=home.operator.claim())
    home.until(lambda: home.joining.error)
    assert home.joining.error.slug == "conflict"
    assert home.identities.load() == before
    home.operator.claimed = None
    home.until(lambda: len(home.joined) == 2)
    assert home.identities.load()[0].device_key != before[0].device_key


@pytest.mark.system
def test_what_somebody_enrolled_at_the_command_line_meanwhile_is_noticed(home):
    home.start(claim="")
    assert not home.joined
    begun = home.identities.begin(home.server.url, home.claim)
    home.identities.complete(begun, "home1", None, home.operator.keys())
    home.joining.start()
    assert home.joined


@pytest.mark.system
def test_two_do_not_enrol_one_router_at_once(home):
    held = lock(home.paths, wait=False)
    home.start()
    assert "at the command line" in home.joining.error.detail
    assert home.server.log == []
    os.close(held)
    home.until(lambda: home.joined)


@pytest.mark.system
def test_a_mistyped_claim_is_told_and_not_tried_again(home):
    home.start(claim=home.claim[:-1] + "1")
    assert "claim code" in home.joining.error.detail
    assert not home.spread
    assert home.server.log == []


@pytest.mark.system
def test_secrets_of_an_enrolment_are_in_no_log(home, caplog):
    home.server.faults["/enroll"] = lambda handler: handler.answer(500)
    home.start()
    home.until(lambda: home.joining.error)
    key = home.identities.under_way().identity.device_key
    assert caplog.text
    for secret in (key.hex(), home.claim, home.operator.token.hex()):
        assert secret not in caplog.text


@pytest.mark.system
def test_a_full_flash_is_told_and_tried_again(home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("isdf_agent.delivery.flash.replace", full)
        home.start()
        assert "No space left" in home.joining.error.detail
        assert home.server.log == []
    home.until(lambda: home.joined)
