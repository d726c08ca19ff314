"""UCI files are read and written as OpenWrt does it, and `uci` does it for shell scripts."""

import pytest

from premises import uci, uci_command


def test_options_lists_comments_and_anonymous_sections():
    text = (
        "# comment\nconfig rule 'push'\n\toption name 'Allow it'\n\tlist src_ip 'a'\n\tlist src_ip 'b'\nconfig zone\n"
    )
    first, second = uci.parse(text)
    assert (first.kind, first.name, first.get("name")) == ("rule", "push", "Allow it")
    assert first.words("src_ip") == ["a", "b"]
    assert first.get("src_ip") == "a b"
    assert (second.kind, second.name, second.words("network")) == ("zone", None, [])
    assert not second.on("masq")


@pytest.mark.parametrize("line", ["option a b", "config a b c", "config", "list a"])
def test_a_line_that_is_none_is_named(line):
    with pytest.raises(ValueError, match=f"line 1.*{line}"):
        uci.parse(line)


def test_what_is_written_reads_the_same():
    text = "config rule 'push'\n\toption name 'it'\\''s'\n\tlist ip 'a'\n\tlist ip 'b c'\n\nconfig zone\n"
    assert uci.dump(uci.parse(text)) == text
    assert uci.parse(uci.dump(uci.parse(text))) == uci.parse(text)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(uci_command, "FOLDER", tmp_path)
    (tmp_path / "firewall").write_text("config rule 'push'\n\toption src 'wan'\n\tlist src_ip 'a'\n")
    (tmp_path / "firewall").chmod(0o600)

    def run(*words):
        return uci_command.main(list(words)), capsys.readouterr().out

    return run


def test_uci_sets_adds_and_deletes_and_keeps_the_files_mode(command, tmp_path):
    for words in (
        ("set", "firewall.push.src=lan"), ("add_list", "firewall.push.src_ip=b"), ("set", "firewall.more=rule"),
        ("commit", "firewall"),
    ):  # fmt: skip
        assert command(*words) == (0, "")
    assert command("get", "firewall.push.src_ip") == (0, "a b\n")
    assert command("get", "firewall.more") == (0, "rule\n")
    assert command("delete", "firewall.push.src_ip") == (0, "")
    assert command("delete", "firewall.more") == (0, "")
    assert (tmp_path / "firewall").read_text() == "config rule 'push'\n\toption src 'lan'\n"
    assert (tmp_path / "firewall").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words",
    [("get", "firewall.none"), ("get", "firewall.push.none"), ("delete", "firewall.none"),
     ("delete", "firewall.push.x"), ("get", "none.push"), ("set", "firewall.push"), ("set", "firewall.none.a=b"),
     ("frob",), ()],
)  # fmt: skip
def test_uci_fails_where_nothing_is(command, words):
    assert command("-q", *words) == (1, "")
