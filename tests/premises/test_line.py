"""The ISP's edge lets a home have what was sold, and no more; and it believes nobody but the manager."""

import json

import pytest

from isdf import wire
from premises import edge, plan

pytestmark = [pytest.mark.system, pytest.mark.alone]

SECONDS = 3
SIGNED_POST = """
import json, sys, time, urllib.request
from isdf import wire
key, url, verb, rate = sys.argv[1:]
body = json.dumps({"verb": verb, "order": "o1", "device": "home1", "service": "pay-per-site",
                   "configuration": {"rate": rate}, "until": None}).encode()
now, digest = int(time.time()), wire.content_digest(body)
headers = {"Isdf-Time": str(now), "Isdf-Nonce": "n1",
           "Isdf-Signature": wire.sign_request(key.encode(), "POST", "/provision", digest, now, "n1")}
try:
    print(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=2).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print("unreachable")
"""


def post(host, verb, rate="200kBps", key=edge.KEY):
    url = f"http://{plan.EDGE[0]}:{edge.PORT}/provision"
    return host.run([host.interpreter, "-c", SIGNED_POST, key, url, verb, rate]).stdout.strip()


def down(client, seconds=SECONDS):
    """kB/s of payload that a client gets from mirror A over IPv4."""
    url = "http://mirror-a.example/600MB"
    said = client.run(
        ["curl", "-4sS", "-o", "/dev/null", "-m", str(seconds), "-w", "%{speed_download}", url], check=False
    )
    return float(said.stdout) / 1000


def test_a_home_has_its_base_and_no_more(net):
    # 2 % more than 150 kB/s on the wire; headers take 4 of it. The bucket's burst and the queue come on top.
    assert 135 < down(net.home(1).client(1)) < 153


def test_an_order_of_the_manager_counts_at_once_and_until_it_is_withdrawn(net):
    assert post(net.manager, "provision") == "200"
    try:
        assert net.sold(net.home(1)) == (2_800_000, 2_800_000)
        assert 320 < down(net.home(1).client(1)) < 357
        assert net.sold(net.home(2)) == (1_200_000, 1_200_000)
    finally:
        assert post(net.manager, "withdraw") == "200"
    assert 135 < down(net.home(1).client(1)) < 155


def test_the_edge_believes_only_the_manager(net):
    assert post(net.manager, "provision", key="somebody else's key") == "403"
    assert post(net.manager, "provision", rate="fast") == "422"
    assert post(net.home(1).router, "provision") == "unreachable"
    assert net.sold(net.home(1)) == (1_200_000, 1_200_000)


def test_what_a_home_sends_is_limited_too(net):
    # 300 kB through 150 kB/s; the mirror reads and throws away what is posted.
    client, mirror = net.home(1).client(1), net.mirror("b")
    sink = "import socket, time; s = socket.create_server(('0.0.0.0', 7009)); print('ready', flush=True)\n"
    sink += "c, _ = s.accept(); began = time.monotonic(); n = 0\nwhile data := c.recv(65536): n += len(data)\n"
    sink += "print([n, time.monotonic() - began], flush=True)"
    with mirror.popen([mirror.interpreter, "-c", sink], stdout=-1, text=True) as process:
        process.stdout.readline()
        send = f"import socket; socket.create_connection(('{plan.MIRROR_B[0]}', 7009)).sendall(bytes(300_000))"
        client.run([client.interpreter, "-c", send])
        size, seconds = json.loads(process.stdout.readline())
        assert size == 300_000
        assert 1.9 < seconds < 2.6


def test_the_signature_is_that_of_the_managers_hook():
    """What `wire` says is all that the edge relies on."""
    digest = wire.content_digest(b"{}")
    signature = wire.sign_request(edge.KEY.encode(), "POST", "/provision", digest, 5, "n")
    assert wire.verify_request(edge.KEY.encode(), "POST", "/provision", digest, "5", "n", signature)
