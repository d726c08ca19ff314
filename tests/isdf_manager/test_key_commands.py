"""The operator's commands about keys, and what routers make of them."""

import pytest

from isdf_manager import authority, signing


@pytest.fixture
def router(manager):
    made = manager.router()
    manager.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--no-push")
    made.pull()
    return made


def test_the_keys_that_are_in_force_are_shown(manager):
    told = manager.home.keyring.statement.keys
    shown = manager.ok("keys", "show")
    assert f"statement:     version {told.version} (20" in shown
    assert f"catalogue:     {told.catalogue_key} (its secret is here)\n" in shown
    assert f"assignment:    {told.assignment_key}\n" in shown
    assert "authority:     CN=iSDF authority " in shown
    assert "certificate:   none; routers call by plain http\n" in shown
    (manager.path / "keys/catalogue.sec").unlink()
    assert "(its secret is elsewhere)" in manager.ok("keys", "show")


def test_each_way_to_have_a_certificate_is_shown(manager, monkeypatch):
    monkeypatch.setenv("ISDF_MANAGER_URL", "https://manager.example")
    file = manager.path / "keys/server.pem"
    assert f"certificate:   none yet; 'serve' makes {file}\n" in manager.ok("keys", "show")
    assert not file.exists()
    authority.server_certificate(manager.home, manager.home.config())
    assert f"certificate:   {file}, for https://manager.example\n" in manager.ok("keys", "show")
    manager.configure(tls="none")
    assert "certificate:   none; a proxy has it\n" in manager.ok("keys", "show")


def test_no_key_changes_where_the_database_cannot_be_opened(manager):
    (manager.path / "manager.db").unlink()
    before = manager.home.keyring.read().data
    for words in (("assignment",), ("authority",)):
        assert "is not there; copy a backup" in manager.fails("keys", "rotate", *words, status=2)
    assert manager.home.keyring.read().data == before


def test_commands_outside_of_a_home_say_that_it_is_none(manager, tmp_path):
    folder = manager.service()
    manager.path = tmp_path
    for words in (("keys", "show"), ("publish", folder), ("serve",), ("keys", "rotate", "assignment")):
        assert "is no manager's home; make it one with" in manager.fails(*words, status=2)


def test_a_new_assignment_key_reaches_a_router_with_its_next_pull(manager, router):
    before = router.assignment
    assert f"the assignment key is {manager.home.keyring.statement.keys.assignment_key}" not in manager.ok(
        "keys", "rotate", "assignment"
    )
    assert router.pull()  # of the same server: it takes the new statement and verifies by the new key
    assert router.keys.version == manager.home.keyring.read().keys.version
    assert router.assignment.serial > before.serial
    assert router.assignment.services == before.services
    assert not router.pull()
    assert "keys rotate assignment  version=" in manager.ok("audit")


def test_every_device_gets_a_new_assignment_after_it_and_only_one(manager, router):
    other = manager.router("home2")
    other.pull()
    manager.ok("keys", "rotate", "assignment")
    for one in (router, other):
        assert one.pull()
        assert not one.pull()


def test_an_order_after_it_is_signed_by_the_new_key(manager, router):
    manager.ok("keys", "rotate", "assignment")
    manager.ok("configure", "home1", "lane", "rate=2mbit", "--no-push")
    assert router.pull()
    assert router.runs() == {"lane": {"rate": "2mbit"}}


def test_the_statement_is_public_and_conditional(manager, router):
    answer = router.get("/keys")
    assert answer.data == (manager.path / "keys/statement").read_bytes()
    again = router.get("/keys", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    manager.ok("keys", "rotate", "authority")
    assert router.get("/keys", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 200


def test_each_answer_of_the_assignment_names_the_statements_version(manager, router):
    version = str(router.keys.version)
    for etag, status in (("", 200), (f'"{router.etag}"', 304)):
        answer = router.request("GET", "/device/home1/assignment", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.headers["Isdf-Keys"]) == (status, version)


def test_the_authority_is_replaced_in_two_steps_that_are_told(manager, router, tmp_path):
    assert "when the routers have pulled: isdf-manager keys rotate authority --finish" in manager.ok(
        "keys", "rotate", "authority"
    )
    assert manager.ok("keys", "show").count("authority:     CN=") == 2
    assert router.trust()
    assert "'serve' shows" not in manager.ok("keys", "rotate", "authority", "--finish")  # there is no TLS
    assert manager.ok("keys", "show").count("authority:     CN=") == 1
    assert router.trust()
    assert "begin first" in manager.fails("keys", "rotate", "authority", "--finish", status=2)


def test_the_catalogue_key_may_lie_elsewhere(manager, router, tmp_path):
    (manager.path / "keys/catalogue.sec").rename(tmp_path / "stick.sec")
    for words in (("assignment",), ("authority",), ("authority", "--finish")):
        assert "is not there; name its file" in manager.fails("keys", "rotate", *words, status=2)
        manager.ok("keys", "rotate", *words, "--key", tmp_path / "stick.sec")
    assert router.trust()


def test_another_key_signs_no_statement(manager, tmp_path):
    (tmp_path / "other.sec").write_text(signing.generate("other").dump())
    before = manager.home.keyring.read()
    said = manager.fails("keys", "rotate", "assignment", "--key", tmp_path / "other.sec", status=2)
    assert "is not the catalogue key of this manager" in said
    assert manager.home.keyring.read() == before


def test_an_authority_that_is_none_is_refused(manager, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for words in (("keys", "rotate", "authority"), ("--home", tmp_path / "new", "init")):
        assert "cannot be read as PEM" in manager.fails(*words, "--authority", tmp_path / "ca.pem", status=2)
        assert "of --authority, which is missing" in manager.fails(*words, "--authority-key", "x", status=2)
    assert not (tmp_path / "new").exists()
    said = manager.fails("keys", "rotate", "authority", "--finish", "--authority", tmp_path / "ca.pem", status=2)
    assert "--authority names one at the beginning" in said
