"""A router is an OpenWrt as far as our agent can tell: files, bus, init scripts, packages, users."""

import json

import pytest

from premises import rootfs
from premises.host import wait_until

pytestmark = pytest.mark.system

SERVICE = """#!/bin/sh /etc/rc.common
START=90
USE_PROCD=1

start_service() {
	procd_open_instance
	procd_set_param command sleep 999
	procd_set_param user nobody
	procd_set_param env WORDS="a \\"b\\" c"
	procd_close_instance
}
"""


def test_files_are_the_routers_own_and_nothing_reaches_the_machine(net):
    first, second = net.home(1).router, net.home(2).router
    first.write("/usr/share/acl.d/mine.json", "{}")
    assert not second.path("/usr/share/acl.d/mine.json").exists()
    first.run(["rm", "/usr/share/acl.d/mine.json"])
    for place in ("/rom/usr/bin", "/opt/isdf/lib/*/site-packages", str(rootfs.CHECKOUT)):
        assert first.run(["sh", "-c", f"touch {place}/x"], check=False).returncode != 0, place


def test_python_is_that_of_the_project_for_every_user(net):
    script = "import os, sys, isdf.model, requests; print(os.getuid(), sys.executable)"
    words = ["setpriv", "--reuid", "33000", "--regid", "33000", "--clear-groups", "/usr/bin/python3", "-c", script]
    assert net.home(1).router.run(words).stdout == "33000 /opt/isdf/bin/python3\n"


def test_init_scripts_set_services_at_procd_and_start_them_at_boot(net):
    router = net.home(2).router
    router.write("/etc/init.d/sleeper", SERVICE, 0o755)
    router.run(["/etc/init.d/sleeper", "start"])
    instance = router.ubus("call", "service", "list", '{"name": "sleeper"}')["sleeper"]["instances"]["instance1"]
    assert instance["running"]
    assert instance["command"] == ["sleep", "999"]
    assert instance["env"] == {"WORDS": 'a "b" c'}
    assert router.run(["/etc/init.d/sleeper", "running"]).returncode == 0
    user = router.run(["stat", "-c", "%u", f"/proc/{instance['pid']}"]).stdout
    assert user.strip() == "65534"
    router.run(["/etc/init.d/sleeper", "stop"])
    wait_until(lambda: not router.find("sleep 999"), what="the end of the service")
    router.run(["/etc/init.d/sleeper", "enable"])
    net.home(2).reboot()
    wait_until(lambda: router.find("sleep 999"), what="the service after a boot")
    router.run(["/etc/init.d/sleeper", "stop"])
    router.run(["/etc/init.d/sleeper", "disable"])


def test_opkg_knows_the_agents_package(net):
    installed = net.home(1).router.run(["opkg", "list-installed"]).stdout
    assert {line.split()[0] for line in installed.splitlines()} >= {"isdf-agent", "python3-isdf", "libc"}


def test_the_bus_has_an_acl_for_the_agents_group(net):
    router = net.home(1).router
    assert "isdf.control" in json.loads(router.read("/usr/share/acl.d/isdf.json"))["access"]
    assert "isdf:" in router.read("/etc/group")


def test_agents_reach_the_manager_by_either_family_and_by_ipv6_alone(net):
    net.start_manager()
    for home in net.homes:
        net.add_device(home)
        home.router.start_agent()
    for home, addresses in ((net.home(1), ("203.0.113.11", "2001:db8:2::b")), (net.home(2), ("2001:db8:2::c",))):
        wait_until(lambda home=home: net.is_known(home), 20, f"the first pull of {home.name}")
        shown = net.operator(["device", "show", home.name]).stdout
        assert any(address in shown for address in addresses)
    net.services_manager.stop()
