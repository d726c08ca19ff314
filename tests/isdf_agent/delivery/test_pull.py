"""A pull as its own process, against real HTTP, with the package manager and usign of the environment."""

import json
import re
import subprocess
import sys
import time

import pytest
from certificates import Authority, authority
from server import Server, make_root
from simulator import DEVICE_KEY, NOW, SECRET, Operator, make_key, service_package, sign

from openwrt.programs import program

pytestmark = pytest.mark.system


class Box:
    """A router that can pull from `server`, and knows the keys that the operator had when it was made."""

    def __init__(self, folder, operator, server):
        self.folder, self.operator, self.server, self.pulls = folder, operator, server, 0
        self.keys = folder / "keys"
        self.keys.write_bytes(operator.keys())
        make_root(folder / "root")

    def pull(self, **told):
        """The result of a pull; `told` overrules what it is told."""
        self.pulls += 1
        parameters = {
            "manager": self.server.url, "insecure": False, "device": "home1", "device_key": DEVICE_KEY.hex(),
            "keys": str(self.keys), "folder": str(self.folder / f"pull/{self.pulls}"),
            "opkg": program("opkg"), "usign": program("usign"),
            "status": str(self.folder / "root/usr/lib/opkg/status"),
            "serial": 0, "digest": None, "signer": None, "etag": None, "now": NOW, "clock_set": True, "deadline": 20,
        } | told  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-m", "isdf_agent.delivery.pull"], input=json.dumps(parameters).encode(),
            stdout=subprocess.PIPE, start_new_session=True, check=False,
        )  # fmt: skip
        assert SECRET.encode() not in done.stdout
        return json.loads(done.stdout)

    def refused(self, **told):
        """The sentence with which a pull was refused."""
        result = self.pull(**told)
        assert result["status"] == "failed"
        return result["error"]["detail"]

    def good(self, **told):
        result = self.pull(**told)
        assert result["status"] == "fetched", result
        return result


@pytest.fixture
def operator():
    operator = Operator()
    operator.subscribe("tv", config={"rate": 1})
    operator.authority = authority().pem
    return operator


@pytest.fixture
def box(tmp_path, operator):
    with Server(operator, authority().certify(tmp_path)) as server:
        yield Box(tmp_path, operator, server)
        server.shutdown()


def test_what_both_keys_vouch_for_is_fetched(box, operator):
    result = box.good()
    entry = operator.entries["tv"]
    with open(result["packages"][entry.sha256], "rb") as file:
        assert file.read() == operator.packages[entry.filename]
    with open(result["assignment"], "rb") as file:
        assert file.read() == operator.assignment()
    assert box.server.paths() == ["assignment", "Packages", "Packages.sig", entry.filename]
    assert [*result["timeline"]] == ["child", "request", "answer", "verified", "index", "fetched"]


def test_an_unchanged_assignment_costs_one_request(box, operator):
    assert box.pull(etag=f'"{operator.digest()}"')["status"] == "unchanged"
    assert box.server.paths() == ["assignment"]


def test_nothing_new_is_no_answer_to_who_did_not_say_what_he_has(box):
    box.server.faults["assignment"] = lambda handler: handler.answer(304)
    assert "(status 304), which nobody asked it" in box.refused(etag=None)


def test_a_package_lies_once_in_memory_when_it_is_fetched(box, operator):
    result = box.good()
    held = [str(path) for path in (box.folder / "pull").rglob("*.ipk") if path.is_file()]
    assert held == [*result["packages"].values()]


def test_a_package_that_is_on_flash_is_not_fetched_again(box, operator, tmp_path):
    entry = operator.entries["tv"]
    (tmp_path / "kept.ipk").write_bytes(operator.packages[entry.filename])
    operator.configure("tv", config={"rate": 2})
    result = box.good(have={entry.sha256: str(tmp_path / "kept.ipk")})
    assert result["packages"] == {}
    assert box.server.paths() == ["assignment"]


def test_a_pull_shares_its_folder_with_no_other_and_takes_away_those_before(box):
    first = box.good()["assignment"]
    second = box.good()["assignment"]
    assert first != second
    assert [path.name for path in (box.folder / "pull").iterdir()] == ["2"]


def test_an_orphan_of_a_killed_agent_leaves_the_folder_of_a_later_pull_alone(box):
    later = box.folder / "pull/9"
    later.mkdir(parents=True)
    box.good()
    assert later.is_dir()


def test_a_damaged_package_on_flash_is_fetched_again(box, operator, tmp_path):
    entry = operator.entries["tv"]
    (tmp_path / "kept.ipk").write_bytes(b"half")
    result = box.good(have={entry.sha256: str(tmp_path / "kept.ipk")})
    assert entry.sha256 in result["packages"]


def test_the_newest_of_two_versions_in_the_feed_is_no_reason_to_take_it(box, operator, tmp_path):
    (tmp_path / "root/etc/opkg/evil.conf").write_text(f"src evil {box.server.url}/evil\n")
    box.good()
    assert not any("evil" in path for _, path in box.server.log)


# -- refused: what the keys do not vouch for


def test_an_assignment_by_another_key_is_refused(box, operator):
    operator.assignment_key = make_key(9)
    assert "not signed by this router's assignment key" in box.refused()


def test_an_index_by_another_key_is_refused(box, operator):
    forged = sign(operator.packages_file(), make_key(9)).dump().encode()
    box.server.faults["Packages.sig"] = lambda handler: handler.answer(200, forged)
    assert "package index is not signed" in box.refused()


def test_an_older_index_that_is_signed_is_refused(box, operator):
    index, signature = operator.packages_file(), operator.index_signature()
    operator.subscribe("tv", "1.1.0")
    box.server.faults["Packages"] = lambda handler: handler.answer(200, index)
    box.server.faults["Packages.sig"] = lambda handler: handler.answer(200, signature)
    assert "not the one that the assignment names" in box.refused()


def test_a_changed_package_is_refused(box, operator):
    entry = operator.entries["tv"]
    changed = bytearray(operator.packages[entry.filename])
    changed[len(changed) // 2] ^= 1
    box.server.faults[".ipk"] = lambda handler: handler.answer(200, bytes(changed))
    assert entry.filename in box.refused()


def test_a_package_that_the_catalogue_key_never_signed_is_refused(box, operator):
    honest, operator.catalogue_key = operator.catalogue_key, make_key(9)
    operator.subscribe("tv", "6.6.6")
    operator.catalogue_key = honest
    assert "not signed by the catalogue key" in box.refused()


def test_a_signed_package_that_reaches_beyond_its_folder_is_refused(box, operator):
    operator.subscribe("tv", data=service_package("tv", scripts={"postinst": b"#!/bin/sh\nreboot\n"}))
    assert "postinst" in box.refused()


def test_nothing_refused_is_left_behind(box, operator):
    operator.subscribe("tv", data=service_package("tv", scripts={"postinst": b"#!/bin/sh\nreboot\n"}))
    box.refused()
    assert not list((box.folder / "pull").rglob("*.ipk/*"))
    assert not [path for path in (box.folder / "pull/1").iterdir() if path.suffix == ".ipk"]


# -- refused: servers that misbehave


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    for _ in range(512):  # 32 MB stand for no end
        handler.wfile.write(bytes(65536))


def trickle(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def half(handler):
    body = handler.server.operator.assignment()
    handler.close_connection = True
    handler.answer(200, body[: len(body) // 2], Content_Length=str(len(body)))


def closed(handler):
    handler.close_connection = True


ANSWERS = {
    "not found": (lambda handler: handler.answer(404), "answers GET /device/home1/assignment with status 404"),
    "broken": (lambda handler: handler.answer(500), "with status 500"),
    "elsewhere": (lambda handler: handler.answer(302, Location="http://192.0.2.1/"), "elsewhere"),
    "endless": (endless, "longer than 262144 bytes"),
    "half": (half, "does not answer|ended after"),
    "closed": (closed, "does not answer"),
    "junk": (lambda handler: handler.answer(200, b"<html>captive portal</html>"), "does not begin with a signature"),
    "empty": (lambda handler: handler.answer(200), "does not begin with a signature"),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_a_manager_that_misbehaves_is_told_in_a_sentence(box, fault):
    box.server.faults["assignment"], sentence = ANSWERS[fault]
    assert re.search(sentence, box.refused())


@pytest.mark.parametrize("where", ["assignment", "Packages", ".ipk"])
def test_one_byte_at_a_time_ends_at_the_deadline(box, where):
    box.server.faults[where] = trickle
    begun = time.monotonic()
    assert box.refused(deadline=1) == "the pull took longer than 1 s"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("where", ["Packages", "Packages.sig", ".ipk"])
@pytest.mark.parametrize("fault", ["not found", "broken", "closed", "half"])
def test_a_feed_that_misbehaves_is_told_in_a_sentence(box, where, fault):
    box.server.faults[where] = ANSWERS[fault][0]
    assert box.refused()


@pytest.mark.parametrize("where", ["Packages", ".ipk"])
def test_a_feed_without_end_fills_no_memory(box, where):
    box.server.faults[where] = endless
    assert box.refused()
    assert sum(path.stat().st_size for path in box.folder.rglob("*") if path.is_file()) < 4 << 20


def test_a_busy_manager_says_when_to_come_again(box):
    box.server.faults["assignment"] = lambda handler: handler.answer(429, Retry_After="77")
    assert box.pull()["retry_after"] == 77


IN_2037 = NOW + 11 * 365 * 86400


def test_a_manager_that_proved_who_he_is_says_what_time_it_is(box):
    assert box.good(now=IN_2037)["time"] == NOW
    result = box.pull(etag=f'"{box.operator.digest()}"')
    assert (result["status"], result["time"]) == ("unchanged", NOW)


def test_one_that_says_no_time_is_not_quoted(box):
    def timeless(handler):
        handler.send_header = mute(handler)
        handler.assignment()

    box.server.faults["assignment"] = timeless
    assert "time" not in box.good()


def mute(handler):
    """`send_header` without the date."""
    send = handler.send_header
    return lambda name, value: None if name == "Date" else send(name, value)


def test_it_says_from_where_it_was_asked(box):
    assert box.good()["ends"] == ["127.0.0.1", "127.0.0.1"]


def test_one_that_did_not_is_not_believed(box):
    box.server.tls = None
    assert "time" not in box.good(insecure=True)
    assert "expired on 2027-01-22 08:00 UTC; here it is 2038" in box.refused(insecure=True, now=IN_2037)


def test_a_router_without_a_clock_signs_with_the_managers_time(box):
    seen = []

    def skewed(handler):
        seen.append(int(handler.headers["Isdf-Time"]))
        if seen[-1] != 1_999_999_999:
            problem = b'{"type": "clock-skew", "detail": "sign it again"}'
            handler.date_time_string = lambda: "Wed, 18 May 2033 03:33:19 GMT"
            handler.answer(401, problem)
            del handler.date_time_string
        else:
            handler.assignment()

    box.server.faults["assignment"] = skewed
    box.good()
    assert seen[1:] == [1_999_999_999]


def test_the_managers_own_words_are_passed_on(box):
    problem = b'{"type": "unauthorized", "detail": "sign the request with the key of a device"}'
    box.server.faults["assignment"] = lambda handler: handler.answer(401, problem)
    assert box.refused().endswith("with status 401: sign the request with the key of a device")


def test_no_manager_is_told_in_a_sentence(box):
    assert "does not answer: Connection refused" in box.refused(manager="https://127.0.0.1:1")


def test_no_usign_is_told_in_a_sentence(box):
    assert "no signature can be checked" in box.refused(usign=["/nonexistent/usign"])


def test_no_opkg_is_told_in_a_sentence(box):
    assert "/nonexistent/opkg does not start" in box.refused(opkg=["/nonexistent/opkg"])


def test_a_full_memory_file_system_is_told_in_a_sentence(box, tmp_path):
    assert "could not use" in box.refused(folder="/proc/isdf")


# -- the manager's keys


def test_keys_of_a_higher_version_are_fetched_believed_and_handed_over(box, operator):
    operator.assignment_key = make_key(5)
    operator.keys_version += 1
    result = box.good()
    with open(result["keys"], "rb") as file:
        assert file.read() == operator.keys()
    assert box.server.paths()[:2] == ["assignment", "keys"]


def test_they_are_handed_over_with_an_assignment_that_did_not_change(box, operator):
    operator.keys_version += 1
    result = box.pull(etag=f'"{operator.digest()}"')
    assert result["status"] == "unchanged"
    assert result["keys"]


def test_they_are_handed_over_although_the_rest_of_the_pull_fails(box, operator):
    operator.keys_version += 1
    box.server.faults["Packages"] = lambda handler: handler.answer(500)
    result = box.pull()
    assert result["status"] == "failed"
    assert result["keys"]


def test_keys_that_are_named_and_not_newer_change_nothing(box, operator):
    statement = operator.keys()
    operator.keys_version += 1
    box.server.faults["keys"] = lambda handler: handler.answer(200, statement)
    assert "keys" not in box.good()


def test_keys_by_another_catalogue_key_are_refused_and_nothing_is_fetched(box, operator):
    operator.keys_version += 1
    forged = operator.keys(key=make_key(9))
    box.server.faults["keys"] = lambda handler: handler.answer(200, forged)
    assert "not signed by the catalogue key" in box.refused()


def test_another_authority_is_believed_where_the_catalogue_key_says_so(box, operator, tmp_path):
    operator.authority = authority("new").pem
    operator.keys_version += 1
    box.server.tls = authority("new").certify(tmp_path)
    result = box.good()
    with open(result["keys"], "rb") as file:
        assert file.read() == operator.keys()
    assert box.server.paths()[:2] == ["keys", "assignment"]


def test_another_authority_is_not_believed_for_its_own_word(box, operator, tmp_path):
    """Somebody in between, with a certificate of his own and all that the manager ever said."""
    box.server.tls = Authority().certify(tmp_path)
    for statement in (operator.keys(), operator.keys(key=make_key(9), version=operator.keys_version + 1)):
        box.server.faults["keys"] = lambda handler, statement=statement: handler.answer(200, statement)
        assert "not of the authority that this router knows" in box.refused()
        assert set(box.server.paths()) == {"keys"}


def test_after_the_keys_the_connection_must_be_of_the_new_authority(box, operator, tmp_path):
    """The old authority was stolen: its thief passes the new keys on, and is out with them."""
    operator.authority = authority("new").pem
    operator.keys_version += 1
    assert "not of the authority" in box.refused()


def test_http_is_spoken_only_where_it_is_allowed(box, operator):
    box.server.tls = None
    assert "needs option insecure" in box.refused()
    assert box.server.paths() == []
    box.good(insecure=True)


def test_damaged_keys_on_flash_are_told_in_a_sentence(box):
    box.keys.write_bytes(b"x")
    assert "signature" in box.refused()


# -- the feed


def test_the_secret_of_the_feed_is_in_no_argument_of_a_program(box, tmp_path):
    """opkg and what it starts are given no address that opens the feed."""
    spy = tmp_path / "opkg"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\nexec {" ".join(program("opkg"))} "$@"\n')
    spy.chmod(0o755)
    box.good(opkg=[str(spy)])
    assert (tmp_path / "words").read_text()
    assert SECRET not in (tmp_path / "words").read_text()
    files = [path for path in (box.folder / "pull/1/opkg").rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_redirect_in_the_feed_is_not_followed(box):
    elsewhere = f"{box.server.url}/feed/elsewhere"
    box.server.faults[".ipk"] = lambda handler: handler.answer(302, Location=elsewhere)
    assert "elsewhere" in box.refused()
    assert not any(path == "/feed/elsewhere" for _, path in box.server.log)


def test_of_a_package_not_one_byte_more_is_taken_than_it_should_have(box, operator):
    entry = operator.entries["tv"]
    box.server.faults[".ipk"] = lambda handler: handler.answer(200, operator.packages[entry.filename] + b"x")
    assert f"longer than {entry.size} bytes" in box.refused()


def test_the_keys_in_opkgs_own_folder_count_for_nothing(box, operator, tmp_path):
    keys = tmp_path / "root/etc/opkg/keys"
    keys.mkdir(parents=True)
    other = make_key(9)
    (keys / other.fingerprint.hex()).write_text(other.public_key().dump())
    forged = sign(operator.packages_file(), other).dump().encode()
    box.server.faults["Packages.sig"] = lambda handler: handler.answer(200, forged)
    assert "package index is not signed" in box.refused()
