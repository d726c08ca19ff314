"""Enrolment: a claim code binds one key to one device, over HTTP, and a lost answer may be asked for again."""

import threading

import pytest

from isdf.errors import FormatError
from isdf.formats import claim
from isdf_manager import devices, enrolment, storage
from simulated_router import Router

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def enroll(world, code: str, key: bytes = KEY):
    with world.store.write() as connection:
        return enrolment.enroll(connection, claim.parse(code).token, key, world.clock())


def row(world):
    with world.store.read() as connection:
        return devices.find(connection, "home1")


def test_a_code_binds_to_the_first_key_that_shows_it(world):
    assert enroll(world, world.code).name == "home1"
    assert row(world).device_key == KEY.hex()
    with pytest.raises(enrolment.ClaimedError):
        enroll(world, world.code, OTHER)
    assert row(world).device_key == KEY.hex()


def test_the_same_key_may_show_it_again_and_nothing_is_changed(world):
    enroll(world, world.code)
    before = world.assigned()
    world.clock.now += 3600
    assert enroll(world, world.code).claimed_at == world.clock() - 3600
    assert world.assigned() == before


def test_a_code_that_nobody_has_is_not_known(world):
    with pytest.raises(enrolment.UnknownClaimError):
        enroll(world, claim.make(bytes(10), devices.usign.PublicKey(bytes(8), bytes(32))))
    assert row(world).device_key is None


def test_only_the_hash_of_the_token_is_in_the_database(world):
    token = claim.parse(world.code).token
    assert token.hex() not in str(row(world))
    assert token.hex() not in str(world.store.file.read_bytes())


def test_a_seal_shows_who_knows_a_code_which_keys_are_the_newest(world):
    known, nonce = claim.parse(world.code), bytes(16)
    with world.store.read() as connection:
        seal = enrolment.seal(connection, known.name, nonce, b"keys")
        with pytest.raises(enrolment.UnknownClaimError):
            enrolment.seal(connection, "0" * 16, nonce, b"keys")
    assert seal == claim.seal(claim.secret(known.token), nonce, b"keys")
    assert seal != claim.seal(claim.secret(known.token), bytes(15) + b"\1", b"keys")
    assert seal != claim.seal(claim.secret(known.token), nonce, b"others")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"claim": "%", "nonce": "' + b"0" * 32 + b'"}', b'{"claim": 5, "nonce": 5}']
)
def test_what_asks_for_a_seal_in_another_form_is_refused(body):
    with pytest.raises(FormatError, match="16 hex digits"):
        enrolment.parse_question(body)


def test_a_new_code_voids_the_one_before(world):
    again, _ = world.devices.replace("home1", None, None)
    with pytest.raises(enrolment.UnknownClaimError):
        enroll(world, world.code)
    enroll(world, again)


def test_the_router_before_goes_on_until_the_new_code_is_bound(world):
    enroll(world, world.code)
    code, _ = world.devices.replace("home1", None, None)
    assert row(world).device_key == KEY.hex()
    enroll(world, code, OTHER)
    assert row(world).device_key == OTHER.hex()
    with pytest.raises(enrolment.UnknownClaimError):
        enroll(world, world.code)


def test_what_the_router_before_knew_opens_nothing_any_more(world):
    enroll(world, world.code)
    before = world.assigned()
    with world.store.write() as connection:
        connection.execute(storage.contact.update().values(address="192.0.2.1", pulled=5, report={"serial": 5}))
    code, _ = world.devices.replace("home1", None, None)
    assert world.assigned().feed == before.feed
    enroll(world, code, OTHER)
    with world.store.read() as connection:
        assert connection.execute(storage.publication.select()).all() == []
        contact = connection.execute(storage.contact.select()).one()
    assert (contact.address, contact.pulled, contact.report) == (None, 0, None)
    assert world.assigned().feed != before.feed
    assert world.assigned().serial > before.serial


def test_of_two_that_show_it_at_once_one_is_bound(world):
    done, start = [], threading.Barrier(2)

    def show(key):
        start.wait()
        try:
            done.append(enroll(world, world.code, key).device_key)
        except enrolment.ClaimedError:
            done.append("refused")

    threads = [threading.Thread(target=show, args=[key]) for key in (KEY, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done)[1] == "refused"
    assert sorted(done)[0] == row(world).device_key


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b'{"token": 1, "key": 2}', b'{"token": "%s"}' % (b"0" * 20), b"[" * 900, b'"\xff',
        b'{"token": "%s", "key": "%s"}' % (b"A" * 20, b"0" * 64),
        b'{"token": "%s", "key": "%s"}' % (b"0" * 20, b"0" * 65),
    ],
)  # fmt: skip
def test_another_body_is_refused(body):
    with pytest.raises(FormatError):
        enrolment.parse(body)


def test_a_router_enrolls_and_its_requests_are_believed(manager):
    router = manager.router()
    assert router.enroll().json == {
        "device": "home1", "line": {"down": 8000, "up": 8000, "base_down": 8000, "base_up": 8000},
    }  # fmt: skip
    router.pull()
    assert 'enroll  home1  address="127.0.0.1" key=' in manager.ok("audit")
    assert manager.out.count("enroll  home1") == 1


def test_a_router_without_a_line_is_told_so(manager):
    router = Router(manager.ok("device", "add", "home1"), manager.client())
    assert router.enroll().json == {"device": "home1", "line": None}


def test_another_router_with_the_same_code_is_told_to_ask_for_its_own(manager):
    router = manager.router()
    router.key = OTHER
    answer = router.enroll()
    assert (answer.status_code, answer.json["type"]) == (409, "claimed")
    assert "device replace NAME" in answer.json["detail"]
    assert router.request("GET", "/device/home1/assignment").status_code == 401


def test_a_code_that_was_replaced_is_unknown_and_costs_no_write(manager, monkeypatch):
    router = manager.router()
    manager.ok("device", "replace", "home1")
    monkeypatch.setattr(storage.Storage, "write", None)
    answer = router.enroll()
    assert (answer.status_code, answer.json["type"]) == (403, "unknown-claim")


def test_a_large_enrolment_is_not_read(manager):
    router = manager.router()
    answer = router.request("POST", "/enroll", b"x" * 1025, signed=False)
    assert (answer.status_code, answer.json["type"]) == (413, "too-large")


def test_the_device_that_was_swapped_is_not_heard_any_more(manager):
    old = manager.router()
    old.pull()
    new = Router(manager.ok("device", "replace", "home1"), manager.client())
    assert old.request("GET", "/device/home1/assignment").status_code == 401
    assert old.get(f"{old.feed}/Packages").status_code == 404
    assert new.pull()
    assert new.assignment.serial > old.assignment.serial
    assert "replaced=true" in manager.ok("audit")
