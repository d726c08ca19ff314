"""The manager as it runs: its server, the command line as a process, a push over UDP, signify on the feed."""

import json
import re
import shutil
import socket
import subprocess
import time
from types import SimpleNamespace

import pytest
import requests

from isdf.formats import usign
from openwrt import router as openwrt_router
from openwrt.programs import choices, program
from served import COMMAND, Served, wait_for
from simulated_router import Listener, Router

pytestmark = pytest.mark.system
HOOK = """\
#!/bin/sh
echo "$ISDF_VERB" >> {told}
"""

# What OpenWrt's opkg-key does: the signature is of the index unpacked.
OPKG_KEY = """\
#!/bin/sh
(zcat "$3" 2>/dev/null || cat "$3") > "$3.plain"
{usign} -V -q -P {keys} -x "$2" -m "$3.plain"
status=$?
rm "$3.plain"
exit $status
"""


@pytest.fixture
def served(tmp_path, manager):
    made = Served(tmp_path)
    made("init", "--url", made.url)
    hook, made.told = tmp_path / "home" / "hook", tmp_path / "told"
    hook.write_text(HOOK.format(told=made.told))
    hook.chmod(0o755)
    with (made.home / "manager.yaml").open("a") as config:
        config.write("provision: {lane: {command: ./hook}}\n")
    made("publish", manager.service())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def listener(served):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::1", 0))
    served("device", "add", "home1", "--uci", served.folder / "isdf", "--line", "down=8000,up=8000",
           "--set", f"push_port={sock.getsockname()[1]}")  # fmt: skip
    assert (served.folder / "isdf").stat().st_mode & 0o777 == 0o600
    router = Router((served.folder / "isdf").read_text(), served.http)
    router.pull()
    router.report()
    made = Listener(router, sock)
    yield made
    made.close()


def test_from_the_command_to_the_router(served, listener):
    out = served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--for", "2h")
    told = re.fullmatch(
        r"provisioned in \d+ ms\nsold until .*\npushed\npulled after (\d+) ms\nrunning after (\d+) ms\n", out
    )
    assert told, out
    assert int(told[2]) < 1000
    assert listener.router.runs() == {"lane": {"rate": "200kBps"}}
    assert served("unsubscribe", "home1", "lane").startswith("withdrawn in ")
    assert listener.router.runs() == {}
    log = served.log.read_text()
    assert listener.router.assignment.feed not in log
    assert listener.router.key.hex() not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"/feed/home1/***/Packages"} < {re.sub("/[0-9a-f]{64}/", "/", line["path"]) for line in lines}


def test_both_families_reach_the_same_server(served):
    assert requests.get(f"http://127.0.0.1:{served.port}/health", timeout=5).json() == {"status": "ok"}
    assert requests.get(f"http://[::1]:{served.port}/health", timeout=5).json() == {"status": "ok"}
    assert '"address": "127.0.0.1"' in served.log.read_text()


def test_signify_accepts_the_feed(served, listener):
    served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--no-push")
    url = served.url + listener.router.feed
    for name in ("Packages", "Packages.sig"):
        (served.folder / name).write_bytes(requests.get(f"{url}/{name}", timeout=5).content)
    key = served.folder / "assignment.pub"
    key.write_text(usign.PublicKey.parse(listener.router.keys.assignment_key).dump())
    words = ["signify-openbsd", "-V", "-p", key, "-m", served.folder / "Packages"]
    assert subprocess.run([*words, "-x", served.folder / "Packages.sig"], check=True, capture_output=True).stdout
    with (served.folder / "Packages").open("ab") as file:
        file.write(b"x")
    assert subprocess.run([*words, "-x", served.folder / "Packages.sig"], check=False, capture_output=True).returncode
    # The assignment is what `signify -S -e` makes.
    answer = listener.router.request("GET", "/device/home1/assignment")
    (served.folder / "assignment.sig").write_bytes(answer.data)
    words = [
        "signify-openbsd",
        "-V",
        "-e",
        "-p",
        key,
        "-m",
        served.folder / "assignment",
    ]
    subprocess.run([*words, "-x", served.folder / "assignment.sig"], check=True, capture_output=True)
    assert json.loads((served.folder / "assignment").read_bytes())["device"] == "home1"


def test_killed_and_started_again_it_withdraws_what_is_over(served, listener):
    served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--until", f"@{int(time.time()) + 3}")
    assert served.told.read_text() == "provision\n"
    served.kill()
    wait_for(lambda: time.time() > listener.router.assignment.services[0].until)
    assert served.told.read_text() == "provision\n"
    served.start()
    wait_for(lambda: served.told.read_text() == "provision\nwithdraw\n")
    listener.router.pull()
    assert listener.router.runs() == {}
    wait_for(lambda: "withdrawn" in served("audit"))


def test_a_pass_is_withdrawn_on_time(served, listener):
    until = int(time.time()) + 5
    served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--until", f"@{until}")
    wait_for(lambda: served.told.read_text() == "provision\nwithdraw\n")
    assert 0 <= served.told.stat().st_mtime - until < 0.5


def test_a_buyer_killed_in_the_hook_leaves_nothing_behind(served, listener):
    hook = served.home / "hook"
    hook.write_text(hook.read_text() + '[ "$ISDF_VERB" = withdraw ] || sleep 1000\n')
    config = served.home / "manager.yaml"
    config.write_text(config.read_text().replace("./hook}", "./hook, timeout: 0.5}"))
    served.stop()
    served.start()  # it knows the shorter timeout
    words = [*COMMAND, "--home", served.home, "subscribe", "home1", "lane", "--config", "rate=200kBps"]
    buyer = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: served.told.exists())
    buyer.kill()
    buyer.wait()
    wait_for(lambda: served.told.read_text().endswith("withdraw\n"), 30)
    assert listener.router.pull() is False


def test_a_copy_while_it_runs_is_a_whole_manager(served, listener):
    served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--no-push")
    served("backup", served.folder / "copy.db")
    served.kill()
    shutil.copytree(served.home, served.folder / "restored", ignore=shutil.ignore_patterns("manager.db*"))
    (served.folder / "copy.db").rename(served.folder / "restored" / "manager.db")
    served.home = served.folder / "restored"
    served.start()
    assert "pulled after" in served("push", "home1")
    assert listener.router.runs() == {"lane": {"rate": "200kBps"}}


@pytest.mark.parametrize("compressed", [False, True], ids=["src", "src-gz"])
@pytest.mark.parametrize("opkg", choices("opkg").values(), ids=choices("opkg"))
def test_a_plain_opkg_installs_from_the_feed(served, listener, opkg, compressed):
    served("subscribe", "home1", "lane", "--config", "rate=200kBps", "--no-push")
    public = usign.PublicKey.parse(listener.router.keys.assignment_key)
    keys = served.folder / "opkg-keys"
    keys.mkdir()
    (keys / public.fingerprint.hex()).write_text(public.dump())
    feed = SimpleNamespace(
        url=f"http://127.0.0.1:{served.port}{listener.router.feed}", keys=keys, _usign=program("usign")
    )
    router = openwrt_router.Router(served.folder / "root", feed, opkg, compressed=compressed)
    usign_words = " ".join(program("usign"))
    (router.root / "verify").write_text(OPKG_KEY.format(usign=usign_words, keys=keys))
    router.installed(openwrt_router.AGENT)
    updated = router.opkg("update")
    assert updated[0] == 0
    status, out, err = router.opkg("install", "isdf-service-lane")
    assert (status, err) == (0, []), (out, updated)
    assert router.service_files("lane") == ["service.json", "service.py"]
    assert router.status()["isdf-service-lane"]["Version"] == "1.0.0"
