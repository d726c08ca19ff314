"""The plan is sound for any number of homes, without building anything."""

import ipaddress

import pytest

from premises import plan


def addresses(commands):
    return [word for line in commands for word in line.split()[2:3] if line.startswith("address add")]


@pytest.mark.parametrize("homes", [1, 2, plan.HOMES_MAX])
def test_an_address_belongs_to_one_host_but_for_those_inside_the_homes(homes):
    shared = {plan.GATEWAY6, plan.LINK_LOCAL, plan.GATEWAY4}
    found = []
    for lines in plan.commands(homes).values():
        own = {address.partition("/")[0] for address in addresses(lines)} - shared
        found += [address for address in own if not address.startswith("192.168.")]
    assert len(found) == len(set(found)) > 20


def test_addresses_are_those_for_documentation_and_the_homes_are_alike_inside():
    first, second = plan.HomePlan(1), plan.HomePlan(2)
    assert first.inside("lan", 11)[0] == second.inside("lan", 11)[0] == "192.168.1.11"
    assert first.inside("lan", 11)[1] != second.inside("lan", 11)[1]
    documentation = ipaddress.ip_network("2001:db8::/32")
    for home in (first, second, plan.HomePlan(plan.HOMES_MAX)):
        assert ipaddress.ip_address(home.wan[1]) in documentation
        assert ipaddress.ip_address(home.inside("guest", 11)[1]) in ipaddress.ip_network(home.prefix6)
        assert ipaddress.ip_address(home.wan[0]) in ipaddress.ip_network("203.0.113.0/24")


def test_every_cable_ends_at_a_host_and_no_port_is_used_twice():
    hosts, ends = plan.hosts(plan.HOMES_MAX), []
    for link in plan.links(plan.HOMES_MAX):
        ends += [(link.a, link.a_device), (link.b, link.b_device)]
    assert {host for host, _ in ends} == set(hosts)
    assert len(ends) == len(set(ends))
    assert all(len(device) <= 15 for _, device in ends)
