"""Who reaches whom in the premises: NAT, firewalls, guests, names. Real packets."""

import subprocess

import pytest

from premises import plan

pytestmark = pytest.mark.system

WEB = [f"tcp:{plan.MIRROR_A[0]}:80", f"tcp:[{plan.MIRROR_A[1]}]:80"]
PINGS = [f"icmp:{address}" for address in (*plan.MIRROR_A, *plan.MIRROR_B, *plan.APP)]
NAMES = ["dns:mirror-a.example", "dns:manager.isp.example"]


def test_every_client_reaches_the_internet_by_ipv4_and_ipv6_and_by_name(net):
    for home in net.homes:
        for host in (home.client(1), home.client(2), home.guest, home.router):
            reached = host.reaches(*WEB, *PINGS, *NAMES, "tcp:mirror-b.example:80")
            assert all(reached.values()), (host, reached)


def test_a_name_that_is_not_there_does_not_resolve(net):
    assert net.home(1).client(1).reaches("dns:nothing.example") == {"dns:nothing.example": False}


def test_ipv4_passes_nat_and_ipv6_does_not(net):
    home = net.home(1)
    with net.app.answering("tcp", 7000) as echo:
        home.client(1).reaches(f"tcp:{plan.APP[0]}:7000")
        assert echo.stdout.readline().strip() == home.plan.wan[0]
        home.client(1).reaches(f"tcp:[{plan.APP[1]}]:7000")
        assert echo.stdout.readline().strip() == home.plan.inside("lan", 11)[1]


def test_homes_with_the_same_addresses_inside_do_not_meet(net):
    first, second = net.home(1), net.home(2)
    with first.client(1).answering("tcp", 7001), second.client(2).answering("tcp", 7002):
        four, six = second.plan.inside("lan", 12)
        reached = first.client(2).reaches("tcp:192.168.1.11:7001", f"tcp:{four}:7002", f"tcp:[{six}]:7002")
        assert list(reached.values()) == [True, False, False]


def test_nobody_outside_reaches_into_a_home(net):
    home = net.home(1)
    inside = home.plan.inside("lan", 11)[1]
    targets = [f"tcp:[{inside}]:7003", f"tcp:[{home.plan.wan[1]}]:7004", f"tcp:{home.plan.wan[0]}:7004"]
    with home.client(1).answering("tcp", 7003), home.router.answering("tcp", 7004):
        for host in (net.mirror("a"), net.manager, net.home(2).client(1)):
            assert not any(host.reaches(*targets).values()), host
        # OpenWrt's default answers echo requests on the WAN, and forwards IPv6's.
        assert all(net.mirror("a").reaches(*(f"icmp:{address}" for address in (*home.plan.wan, inside))).values())


def test_guests_are_apart_from_the_lan_and_from_the_router(net):
    home = net.home(1)
    with home.client(1).answering("tcp", 7005), home.router.answering("tcp", 7006):
        lan, router = home.plan.inside("lan", 11), home.plan.inside("guest", 1)
        kept = [f"tcp:{lan[0]}:7005", f"tcp:[{lan[1]}]:7005", f"tcp:{router[0]}:7006", f"tcp:[{router[1]}]:7006"]
        assert not any(home.guest.reaches(*kept).values())
        assert all(home.client(2).reaches(kept[0], kept[1], "tcp:192.168.1.1:7006").values())


def test_port_9009_is_open_to_the_manager_alone_and_closed_without_the_rule(net):
    home = net.home(1)
    targets = [f"udp:{home.plan.wan[0]}:9009", f"udp:[{home.plan.wan[1]}]:9009"]
    before = home.router.read("/etc/config/isdf")
    with home.router.answering("udp", 9009):
        assert not any(net.manager.reaches(*targets).values())
        agent = "config agent 'agent'\n" + "".join(f"\tlist push_from '{address}'\n" for address in plan.MANAGER)
        home.router.write("/etc/config/isdf", agent)
        home.router.run(["/usr/lib/isdf/push-rule"])
        try:
            assert all(net.manager.reaches(*targets).values())
            for host in (net.app, net.mirror("a"), net.home(2).router):
                assert not any(host.reaches(*targets).values()), host
        finally:
            home.router.write("/etc/config/isdf", before, 0o600)
            home.router.run(["/usr/lib/isdf/push-rule"])
        assert not any(net.manager.reaches(*targets).values())


def test_home_2_reaches_the_manager_by_ipv6_alone(net):
    with net.manager.answering("tcp", 7007):
        targets = [f"tcp:{plan.MANAGER[0]}:7007", f"tcp:[{plan.MANAGER[1]}]:7007"]
        assert list(net.home(1).router.reaches(*targets).values()) == [True, True]
        assert list(net.home(2).router.reaches(*targets).values()) == [False, True]


def test_a_reload_of_the_firewall_touches_no_other_table_and_no_connection(net):
    home = net.home(1)
    home.router.run(["nft", "add", "table", "inet", "other"])
    download = ["curl", "-sS", "--no-buffer", "http://mirror-a.example/600MB"]
    with home.client(1).popen(download, stdout=subprocess.PIPE) as curl:
        assert len(curl.stdout.read(50_000)) == 50_000
        home.router.fw4("reload")
        assert len(curl.stdout.read(100_000)) == 100_000
        curl.kill()
    tables = home.router.run(["nft", "list", "tables"]).stdout
    home.router.run(["nft", "delete", "table", "inet", "other"])
    assert {"table inet other", "table inet fw4"} == set(tables.splitlines())
