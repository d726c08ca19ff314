"""A device's feed is an ordinary one: `opkg update && opkg install` works by hand."""

import json
import re

import pytest

from isdf.formats import usign

pytestmark = pytest.mark.system
PACKAGE = "isdf-service-by-hand"


@pytest.fixture
def router(shop):
    """A router that was sold the service `by-hand` and has not pulled it."""
    home = shop.home(5)
    shop.publish("by-hand")
    shop.buy(home, "by-hand", "200kBps", "--no-push")
    yield home.router
    home.router.run(["opkg", "remove", PACKAGE])
    shop.net.operator(["unsubscribe", home.name, "by-hand", "--no-push"])


def test_opkg_update_and_install_work_on_the_feed_of_the_device(shop, router):
    shown = shop.net.operator(["device", "show", "home5"]).stdout
    address = re.search(r"feed: +(\S+)", shown)[1]
    told = usign.split_embedded(router.path("/etc/isdf/keys").read_bytes())[1]
    key = usign.PublicKey.parse(json.loads(told)["assignment_key"])
    router.path("/etc/opkg/keys").mkdir(exist_ok=True)
    router.write(f"/etc/opkg/keys/{key.fingerprint.hex()}", key.dump())
    # The manager's authority is none of the system's; nothing in the feed is secret, and the index is signed.
    router.write("/etc/opkg/customfeeds.conf", f"option no_check_certificate 1\nsrc/gz isdf {address}\n")
    said = router.run(["sh", "-ec", f"opkg update && opkg install {PACKAGE}"])
    assert "Signature check passed." in said.stdout + said.stderr
    assert f"{PACKAGE} - 1.0.0" in router.run(["opkg", "list-installed"]).stdout
    assert router.path("/usr/lib/isdf/services/by-hand/service.py").exists()
