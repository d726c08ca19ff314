"""The keys of a home: what the statement names is in force, whatever else lies there; rotation at every step."""

import os
import shutil

import pytest

from isdf.errors import InvalidError
from isdf.formats import keys, usign
from isdf_manager import rotation, signing
from isdf_manager.keyring import Keyring


@pytest.fixture
def ring(tmp_path):
    made = Keyring(tmp_path / "keys")
    made.folder.mkdir()
    rotation.begin(made, None)
    return made


@pytest.fixture
def catalogue(ring):
    return signing.read_secret(ring.path("catalogue.sec"), "catalogue")


def consistent(ring) -> keys.Keys:
    """What a router sees is what the manager signs with."""
    told = Keyring(ring.folder)
    text, payload = usign.split_embedded(told.statement.data)
    public = usign.PublicKey.parse(told.statement.keys.catalogue_key)
    usign.verify(payload, usign.Signature.parse(text), public, signing.ed25519_verify)
    assert told.assignment.public_key().line == told.statement.keys.assignment_key
    assert told.authority().pem in told.statement.keys.authority
    assert told.authority().key is not None
    return told.statement.keys


def test_the_first_statement_names_the_keys_that_were_made(ring, catalogue):
    told = consistent(ring)
    assert told.catalogue_key == catalogue.public_key().line
    assert told.authority == ring.authority().pem


def test_keys_are_never_made_over_others(ring):
    before = ring.path("statement").read_bytes()
    with pytest.raises(FileExistsError):
        rotation.begin(ring, None)
    assert ring.path("statement").read_bytes() == before


def test_a_new_assignment_key_is_seen_without_a_restart(ring, catalogue):
    before, key = ring.statement, ring.assignment
    told = rotation.replace_assignment(ring, catalogue)
    assert ring.statement.keys == told == consistent(ring)
    assert ring.assignment.public_key().line == told.assignment_key != key.public_key().line
    assert told.version > before.keys.version
    assert (told.catalogue_key, told.authority) == (before.keys.catalogue_key, before.keys.authority)
    assert not ring.path("assignment.sec.next").exists()


def test_the_statement_is_read_once(ring, monkeypatch):
    ring.statement  # noqa: B018
    monkeypatch.setattr(Keyring, "read", None)
    assert ring.statement.keys.version
    assert ring.assignment


def test_a_new_authority_comes_in_two_steps(ring, catalogue):
    old = ring.authority()
    both = rotation.add_authority(ring, catalogue, None)
    assert both == consistent(ring)
    assert both.authority.startswith(old.pem)
    assert len(both.authority) > len(old.pem)
    assert ring.authority().pem == old.pem  # routers that have not called yet know no other
    with pytest.raises(InvalidError, match="finish first"):
        rotation.add_authority(ring, catalogue, None)
    alone = rotation.finish_authority(ring, catalogue)
    assert alone == consistent(ring)
    assert ring.authority().pem == alone.authority == both.authority.removeprefix(old.pem)
    assert not ring.path("authority.pem.next").exists()
    with pytest.raises(InvalidError, match="begin first"):
        rotation.finish_authority(ring, catalogue)


def test_an_assignment_key_that_was_lost_is_replaced(ring, catalogue):
    ring.path("assignment.sec").unlink()
    with pytest.raises(InvalidError, match="keys rotate assignment"):
        ring.assignment  # noqa: B018
    rotation.replace_assignment(ring, catalogue)
    consistent(ring)


@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_statement_that_is_damaged_or_lost_is_said_so(ring, damage):
    path = ring.path("statement")
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(InvalidError, match=r"the keys statement .*; restore it"):
        ring.statement  # noqa: B018


def test_a_statement_by_another_catalogue_key_is_not_served(ring):
    told, other = ring.statement.keys, signing.generate("other")
    payload = keys.dump(told)
    text = usign.sign(payload, other, signing.ed25519_sign).dump()
    ring.path("statement").write_bytes(usign.embed(payload, text))
    with pytest.raises(InvalidError, match="expected was"):
        ring.statement  # noqa: B018


def test_a_version_rises_also_when_the_clock_was_set_back(ring, catalogue, monkeypatch):
    before = ring.statement.keys.version
    monkeypatch.setattr(rotation.time, "time", lambda: 1.0)
    assert rotation.replace_assignment(ring, catalogue).version == before + 1


class Killed(BaseException):
    pass


CHANGES = {
    "assignment": lambda ring, secret: rotation.replace_assignment(ring, secret),
    "authority": lambda ring, secret: rotation.add_authority(ring, secret, None),
    "finish": lambda ring, secret: rotation.finish_authority(ring, secret),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_rotation_killed_at_any_step_has_happened_or_not_and_can_be_done_again(
    ring, catalogue, monkeypatch, tmp_path, change
):
    if change == "finish":
        rotation.add_authority(ring, catalogue, None)
    shutil.copytree(ring.folder, tmp_path / "before")
    seen, steps = set(), 0
    calls = [(os, "replace"), (os, "open"), (os, "fsync"), (os, "unlink")]
    real = [getattr(module, name) for module, name in calls]

    def killing_at(step):
        count = iter(range(1000))
        for (module, name), call in zip(calls, real, strict=True):

            def counted(*args, call=call, **more):
                if next(count) == step:
                    raise Killed
                return call(*args, **more)

            monkeypatch.setattr(module, name, counted)

    ended = False
    while not ended:
        shutil.rmtree(ring.folder)
        shutil.copytree(tmp_path / "before", ring.folder)
        before = consistent(ring)
        killing_at(steps)
        try:
            CHANGES[change](ring, catalogue)
            ended = True
        except Killed:
            steps += 1
        monkeypatch.undo()
        happened = consistent(ring) != before
        seen.add(happened)
        if happened and change != "assignment":
            with pytest.raises(InvalidError, match=r"finish first|begin first"):
                CHANGES[change](ring, catalogue)
        else:
            CHANGES[change](ring, catalogue)
        assert consistent(ring) != before
    assert steps > 5
    assert seen == {False, True}
