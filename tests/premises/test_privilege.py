"""What a machine lacks is said in one line that ends in what to paste."""

import itertools

import pytest

from premises import privilege


@pytest.fixture
def user(monkeypatch):
    """An ordinary user on a machine that has all programs."""
    monkeypatch.setattr(privilege, "is_root", lambda: False)
    monkeypatch.setattr(privilege, "user_name", lambda: "ada")
    monkeypatch.setattr(privilege.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(privilege, "sub_range", lambda path, user, number: privilege.Range(100000, 65536))


def test_a_range_maps_root_the_system_and_the_packages_users():
    triples = privilege.Range(100000, 65536).id_map(1000)
    assert triples[0] == (0, 1000, 1)
    outside = sorted((first, first + count) for _, first, count in triples[1:])
    assert outside[0][0] == 100000
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(outside))
    for needed in (1, 453, 1000, 32768, 65534, 65536):
        assert any(inside <= needed < inside + count for inside, _, count in triples)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada:100000:65536\n", privilege.Range(100000, 65536)),
        ("bob:100000:65536\nada:1:10\nada:300000:65536\n", privilege.Range(300000, 65536)),
        ("1000:100000:65536\n", privilege.Range(100000, 65536)),
        ("bob:100000:65536\n\n", None),
    ],
)
def test_a_users_range_is_found_by_name_or_number(tmp_path, text, found):
    (tmp_path / "subuid").write_text(text)
    assert privilege.sub_range(str(tmp_path / "subuid"), "ada", 1000) == found


def test_missing_programs_are_named_as_packages(monkeypatch, user):
    monkeypatch.setattr(privilege.shutil, "which", lambda name, path=None: None)
    with pytest.raises(
        privilege.LackingError, match=r"paste: sudo apt-get update && .* dnsmasq-base .* uidmap util-linux$"
    ):
        privilege.check()


def test_all_that_is_lacking_is_in_one_line(monkeypatch, user, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(privilege.rootfs, "needed_trees", lambda: [tmp_path])
    monkeypatch.setattr(privilege, "sub_range", lambda path, user, number: None)
    line = rf"paste: sudo apt-get update && .* signify-openbsd && chmod -R go\+rX {tmp_path} && sudo usermod .* ada$"
    with pytest.raises(privilege.LackingError, match=line):
        privilege.check(["signify-openbsd"])


def test_root_is_not_told_to_become_root(monkeypatch, user):
    monkeypatch.setattr(privilege, "is_root", lambda: True)
    with pytest.raises(privilege.LackingError, match="paste: apt-get update && apt-get install"):
        privilege.check(["curl"])


def test_this_python_is_asked_whether_it_may_have_a_namespace():
    assert privilege._may_unshare()


def test_a_missing_range_of_ids_is_named(monkeypatch, user):
    monkeypatch.setattr(privilege, "sub_range", lambda path, user, number: None)
    with pytest.raises(privilege.LackingError, match=r"paste: sudo usermod --add-subuids \S+ --add-subgids \S+ ada$"):
        privilege.check()


def test_ubuntus_restriction_is_named_where_it_bites(monkeypatch, user, tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("100\n")
    monkeypatch.setattr(privilege, "KNOBS", tmp_path)
    monkeypatch.setattr(privilege, "_may_unshare", lambda: True)
    privilege.check()
    monkeypatch.setattr(privilege, "_may_unshare", lambda: False)
    with pytest.raises(privilege.LackingError, match=r"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0$"):
        privilege.check()


def test_a_tree_that_services_cannot_read_is_named(monkeypatch, user, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(privilege.rootfs, "needed_trees", lambda: [tmp_path])
    with pytest.raises(privilege.LackingError, match=rf"paste: chmod -R go\+rX {tmp_path}$"):
        privilege.check()


def test_a_root_without_power_is_told(monkeypatch, user):
    monkeypatch.setattr(privilege, "is_root", lambda: True)
    monkeypatch.setattr(privilege, "_has_sys_admin", lambda: False)
    with pytest.raises(privilege.LackingError, match="--privileged"):
        privilege.check()
