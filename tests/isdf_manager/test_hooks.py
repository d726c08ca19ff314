"""Provision hooks: what they are told, and what becomes of an order when they fail, hang or are not there."""

import contextlib
import http.server
import json
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from isdf import wire
from isdf_manager import provision
from isdf_manager.provision import Hook, HookError, Request

pytestmark = pytest.mark.system

HOOK = """\
#!{python}
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
told = json.load(sys.stdin)
assert told["verb"] == os.environ["ISDF_VERB"] and told["order"] == os.environ["ISDF_ORDER"]
with open(folder / "told", "a") as log:
    log.write(json.dumps(told) + "\\n")
broken = folder / ("no-" + told["verb"])
if broken.exists():
    print("starting up", flush=True); print(broken.read_text(), file=sys.stderr); sys.exit(3)
"""


@pytest.fixture
def core(manager, monkeypatch):
    """A manager whose service `lane` has an executable as its hook; what it was told is read by `core()`."""
    monkeypatch.setattr(provision, "PAUSES", (0.01, 0.02))
    (manager.path / "hook").write_text(HOOK.format(python=sys.executable))
    (manager.path / "hook").chmod(0o755)
    manager.configure(provision={"lane": {"command": ["./hook"], "timeout": 5}})
    manager.ok("device", "add", "home1")

    def told():
        file = manager.path / "told"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    manager.told = told
    return manager


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def verbs(core):
    return [t["verb"] for t in core.told()]


def test_the_core_is_provisioned_first_and_withdrawn_at_the_end(core):
    out = core.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--for", "2h")
    assert out.startswith("provisioned in ")
    core.ok("configure", "home1", "lane", "rate=2mbit")
    assert core.ok("unsubscribe", "home1", "lane").startswith("withdrawn in ")
    first, second, last = core.told()
    assert first == {
        "verb": "provision", "order": first["order"], "device": "home1", "service": "lane",
        "configuration": {"rate": "1mbit"}, "until": first["until"],
    }  # fmt: skip
    assert second == first | {"configuration": {"rate": "2mbit"}}
    assert last == second | {"verb": "withdraw"}
    core.ok("device", "remove", "home1")


def test_a_hook_that_fails_sells_nothing_and_is_withdrawn(core):
    (core.path / "no-provision").write_text("no capacity on bras1")
    said = core.fails("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert said == (
        f"the hook {core.path}/hook ended with status 3 and said: no capacity on bras1; "
        "home1 does not get lane, nothing was sold"
    )
    assert verbs(core) == ["provision"] * 3 + ["withdraw"]
    assert '"services": []' in core.ok("status", "--json")
    (core.path / "no-provision").unlink()
    core.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")


def test_a_hook_that_is_not_there_sells_nothing(core):
    (core.path / "hook").unlink()
    assert "cannot be run: No such file or directory; home1 does not get lane" in core.fails(
        "subscribe", "home1", "lane", "--config", "rate=1mbit"
    )


def test_a_configure_that_the_core_refuses_leaves_what_is_sold(core):
    core.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    (core.path / "no-provision").write_text("too fast")
    assert "too fast; lane of home1 stays as it was" in core.fails("configure", "home1", "lane", "rate=9mbit")
    (core.path / "no-provision").unlink()
    core.client()
    schedule = core.applications[-1].schedule
    schedule.tick()
    schedule.stop()
    assert core.told()[-1]["configuration"] == {"rate": "1mbit"}  # the core may have taken half of the other
    assert '"rate": "1mbit"' in core.ok("status", "--json")


def test_a_withdrawal_that_fails_ends_the_service_and_is_owed(core):
    core.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    (core.path / "no-withdraw").write_text("bras1 is away")
    said = core.fails("unsubscribe", "home1", "lane")
    assert "said: bras1 is away; the core still holds order" in said
    assert "bras1 is away" in core.ok("status")
    assert "lane" in core.fails("device", "remove", "home1")
    # The same service cannot be sold again before: its late withdrawal would hit the new order.
    said = core.fails("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert said.endswith("the order before is not withdrawn yet, so nothing was sold; mend the hook and try again")
    (core.path / "no-withdraw").unlink()
    core.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert verbs(core)[-2:] == ["withdraw", "provision"]


def test_a_hook_that_hangs_is_killed_with_its_children(tmp_path):
    script = tmp_path / "hook"
    script.write_text("#!/bin/sh\nsleep 100 &\necho $! > " + str(tmp_path / "child") + "\nwait\n")
    script.chmod(0o755)
    hook = Hook(command=(str(script),), timeout=0.3)
    with pytest.raises(HookError, match=r"did not end within 0\.3 s"):
        hook.call(REQUEST)
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    wait_for(lambda: not child.exists() or " Z " in child.read_text())


def test_a_daemon_that_a_hook_leaves_behind_is_not_waited_for(tmp_path):
    script = tmp_path / "hook"
    script.write_text("#!/bin/sh\nsetsid sleep 3 &\necho starting; echo no room; exit 1\n")
    script.chmod(0o755)
    begun = time.monotonic()
    with pytest.raises(HookError, match="ended with status 1 and said: no room"):
        Hook(command=(str(script),), timeout=2).call(REQUEST)
    assert time.monotonic() - begun < 1


def test_an_interrupt_ends_the_hook(tmp_path, monkeypatch):
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 100\n")
    script.chmod(0o755)
    wait = provision.subprocess.Popen.wait

    def interrupted(process, timeout=None):
        if timeout is None:
            return wait(process)
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(provision.subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Hook(command=(str(script),)).call(REQUEST)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_hook_that_cannot_be_run_again_may_have_begun_before():
    class Replaced(Hook):
        tries = 0

        def call(self, request):
            Replaced.tries += 1
            raise HookError("died half-way" if Replaced.tries == 1 else "cannot be run", never=Replaced.tries > 1)

    with pytest.raises(HookError) as failed:
        Replaced().patiently(REQUEST, lambda pause: None)
    assert not failed.value.never


REQUEST = Request("provision", "f00d", "home1", "lane", {"rate": "1mbit"}, None)


@pytest.fixture
def webhook():
    """An HTTP server that keeps what it is told and answers with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.told.append((self.path, dict(self.headers), body))
            self.send_response(server.status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(b"line one\nbras1 said no\n")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.told, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hook_by_http_is_signed(webhook):
    hook = Hook(url=f"http://user:secret@127.0.0.1:{webhook.server_port}/isdf?x=1", key=b"k" * 16)
    hook.call(REQUEST)
    path, headers, body = webhook.told[0]
    assert json.loads(body) == {
        "verb": "provision", "order": "f00d", "device": "home1", "service": "lane",
        "configuration": {"rate": "1mbit"}, "until": None,
    }  # fmt: skip
    seal = headers["Isdf-Time"], headers["Isdf-Nonce"], headers["Isdf-Signature"]
    digest = wire.content_digest(body)
    assert headers["Content-Digest"] == digest
    assert wire.verify_request(b"k" * 16, "POST", path, digest, *seal)
    assert not wire.verify_request(b"j" * 16, "POST", path, digest, *seal)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_hook_by_http_that_refuses(webhook, status):
    webhook.status = status
    hook = Hook(url=f"http://user:secret@127.0.0.1:{webhook.server_port}/", key=b"k" * 16)
    with pytest.raises(HookError, match=f"the hook http://127.0.0.1 answered {status}: bras1 said no"):
        hook.call(REQUEST)


def test_a_hook_by_http_that_is_away():
    with pytest.raises(HookError, match=r"the hook http://127\.0\.0\.1 does not answer: ConnectionError"):
        Hook(url="http://127.0.0.1:1/", key=b"k" * 16).call(REQUEST)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 500 No\r\n\r\n"])
def test_a_hook_by_http_that_answers_byte_by_byte_has_no_more_time(head):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble():
            connection = server.accept()[0]
            with connection, contextlib.suppress(OSError):
                connection.sendall(head)
                for _ in range(20):
                    connection.sendall(b"x")
                    time.sleep(0.1)

        threading.Thread(target=dribble, daemon=True).start()
        begun = time.monotonic()
        with pytest.raises(HookError, match=r"did not answer within 0\.3 s"):
            Hook(url=f"http://127.0.0.1:{server.getsockname()[1]}/", key=b"k" * 16, timeout=0.3).call(REQUEST)
        assert time.monotonic() - begun < 1.5


def test_a_hook_is_tried_three_times():
    pauses = []

    class Flaky(Hook):
        def call(self, request):
            if len(pauses) < 2:
                raise HookError("busy")

    Flaky().patiently(REQUEST, pauses.append)
    assert pauses == list(provision.PAUSES)
