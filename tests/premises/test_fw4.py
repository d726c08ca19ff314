"""The firewall's rules come out in fw4's shape."""

import shutil
from pathlib import Path

import pytest

from premises import uci
from premises.fw4 import Firewall
from premises.fw4_rule import render
from premises.host import FILES

PUSH = """
config rule
	option name 'Push'
	option src 'wan'
	option proto 'udp'
	option dest_port '9009'
	list src_ip '198.51.100.18'
	list src_ip '2001:db8:1:10::2'
	option target 'ACCEPT'
"""


@pytest.fixture
def root(tmp_path):
    shutil.copytree(FILES / "router/etc", tmp_path / "etc")
    return tmp_path


def chain(ruleset: str, name: str) -> list[str]:
    return ruleset.partition(f"chain {name} {{\n")[2].partition("\n}")[0].splitlines()


def rules(text: str) -> dict[str, list[str]]:
    return render(uci.parse(text))


def test_a_rule_with_addresses_of_both_families_is_a_rule_for_each():
    assert rules(PUSH) == {
        "input_wan": [
            'meta nfproto ipv4 ip saddr { 198.51.100.18 } udp dport { 9009 } counter accept comment "!fw4: Push"',
            'meta nfproto ipv6 ip6 saddr { 2001:db8:1:10::2 } udp dport { 9009 } counter accept comment "!fw4: Push"',
        ]
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("src wan\n dest lan\n proto esp", ("forward_wan", "meta l4proto esp counter jump accept_to_lan")),
        ("src wan\n dest *\n proto all", ("forward_wan", "counter accept")),
        ("dest wan\n proto tcp\n dest_port 25", ("output_wan", "tcp dport { 25 } counter accept")),
        ("proto all", ("output", "counter accept")),
        ("src *\n proto all", ("input", "counter accept")),
    ],
)
def test_the_chain_follows_from_source_and_destination(options, expected):
    lines = "".join(f"\toption {line.strip()}\n" for line in options.split("\n"))
    (name, (rule,)), *others = rules(f"config rule\n\toption name x\n{lines}\toption target ACCEPT\n").items()
    assert (name, rule.partition(" comment")[0]) == expected
    assert not others


def test_icmp_types_with_a_code_are_apart_from_those_without():
    text = "config rule\n option src wan\n option proto icmp\n option family ipv6\n option target ACCEPT\n"
    (found,) = rules(text + " list icmp_type echo-request\n list icmp_type packet-too-big\n").values()
    assert ["icmpv6 type { 128 }" in found[0], "icmpv6 type . icmpv6 code { 2 . 0 }" in found[1]] == [True, True]


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="MARK"):
        rules("config rule\n option name x\n option target MARK\n")


def test_the_wan_is_closed_and_masqueraded(root):
    ruleset = Firewall(root).ruleset()
    assert chain(ruleset, "input")[-2:] == [
        'iifname "br-guest" jump input_guest comment "!fw4: Handle guest input traffic"', "jump handle_reject",
    ]  # fmt: skip
    assert chain(ruleset, "input_wan")[-1] == "jump reject_from_wan"
    assert chain(ruleset, "forward_wan")[-1] == "jump drop_to_wan"
    assert chain(ruleset, "forward_lan") == ["jump accept_to_wan", "jump accept_to_lan"]
    assert chain(ruleset, "srcnat_wan") == ['meta nfproto ipv4 masquerade comment "!fw4: Masquerade IPv4 wan traffic"']


def test_only_its_own_table_is_emptied(root):
    assert Firewall(root).ruleset().startswith("table inet fw4\nflush table inet fw4\ntable inet fw4 {\n")


def test_drop_in_files_stand_where_fw4_puts_them(root):
    places = ["ruleset-pre", "table-pre", "chain-pre/input", "chain-post/forward_wan", "table-post", "ruleset-post"]
    for place in places:
        path = root / "usr/share/nftables.d" / place / "10-x.nft"
        path.parent.mkdir(parents=True)
        path.touch()
    ruleset = Firewall(root).ruleset()
    included = [Path(line.split('"')[1]).parent for line in ruleset.splitlines() if line.startswith("include")]
    assert [str(path.relative_to(root / "usr/share/nftables.d")) for path in included] == places
    input_ = chain(ruleset, "input")
    assert input_[1].startswith('iif "lo"')
    assert "chain-pre/input" in input_[2]
    assert "chain-post/forward_wan" in chain(ruleset, "forward_wan")[-1]


def test_what_it_does_not_know_is_refused(root):
    with (root / "etc/config/firewall").open("a") as file:
        file.write("\nconfig redirect\n")
    with pytest.raises(ValueError, match="config redirect"):
        Firewall(root)
