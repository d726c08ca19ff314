"""What the operator does wrong, with a router behind: exit status 1 or 2, one sentence, and nothing changes at home."""

from __future__ import annotations

import pytest

from bad_input.conftest import GOOD
from premises.host import wait_until
from premises.manager import FOLDER

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def film(isp):
    """A service that home 1 has; it and `other` have a provision hook, which works but for the tests that change it."""
    configuration = isp.net.manager.path(f"{FOLDER}/manager.yaml")
    hooks = "".join(f"  {name}: {{command: /root/hook, timeout: 0.5}}\n" for name in ("film", "other"))
    configuration.write_text(f"{configuration.read_text()}provision:\n{hooks}")
    isp.net.manager.write("/root/hook", "#!/bin/sh\n", 0o755)
    isp.net.services_manager.stop()
    isp.net.services_manager.start()
    isp.publish("film")
    isp.publish("other")
    isp.sell("film", "rate=80kbit")
    isp.pull()


@pytest.fixture
def hook(isp):
    """`hook(script)` is the provision hook until the end of the test; then what is owed to the core is withdrawn."""

    def change(script: str) -> None:
        isp.net.manager.write("/root/hook", f"#!/bin/sh\n{script}\n", 0o755)

    yield change
    change("exit 0")
    owed = "SELECT count(*) FROM sold WHERE state IN ('ordered', 'ending')"
    wait_until(lambda: isp.database(owed)[0][0] == 0, 30, "the withdrawal of what a failed hook may have left")


def fails(isp, *words: str, status: int = 1) -> str:
    """The one sentence of a command that fails; the router is left in peace."""
    serial = isp.status()["delivery"]["serial"]
    held = isp.ubus("isdf.control", "list")
    done = isp.manager(*words)
    assert done.returncode == status
    assert done.stderr.startswith("isdf-manager: ")
    assert done.stderr.count("\n") == 1
    assert isp.status()["delivery"]["serial"] == serial
    assert isp.ubus("isdf.control", "list") == held
    return done.stderr.removeprefix("isdf-manager: ").strip()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("subscribe", "home7", "film"), 1, "device 'home7' is not known"),
        (("subscribe", "home1", "flim"), 1, "service 'flim' is not published; published are film, other, pay-per-site"),
        (("subscribe", "home1", "other", "--config", "rate=0"), 2, "'rate': rate '0' is outside 8 kbit/s"),
        (("subscribe", "home1", "film"), 1, "home1 has film already"),
        (("configure", "home1", "film", "rate=fast"), 2, "'rate': rate 'fast' is not a number of bit/s"),
        (("configure", "home1", "other", "rate=1mbit"), 1, "home1 does not have 'other'"),
        (("unsubscribe", "home1", "other"), 1, "home1 does not have 'other'"),
        (("publish", "/root"), 2, "is no service: it has no service.yaml"),
        (("publish", "/nowhere"), 2, "/nowhere is no folder; give the folder of a service"),
    ],
)
def test_what_is_not_known_or_not_allowed(isp, words, status, sentence):
    assert sentence in fails(isp, *words, status=status)


def test_the_same_version_with_other_content(isp):
    words = isp.publishing("film", GOOD.replace("80kbit", "88kbit"))
    said = fails(isp, *words)
    assert said == "film 1.0.0 is published already with other content; raise 'version' in service.yaml"
    assert isp.pull()["applied"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no capacity on this line >&2; exit 3", "ended with status 3 and said: no capacity on this line"),
        ("sleep 60", "did not end within 0.5 s"),
        (r"printf '\377\033[31m\0nonsense\a'; exit 1", "ended with status 1 and said: "),
    ],
)
def test_a_hook_that_does_not_do_it(isp, hook, script, words):
    hook(script)
    said = fails(isp, "subscribe", "home1", "other", "--config", "rate=80kbit")
    assert words in said
    assert said.endswith("; home1 does not get other, nothing was sold")
    assert said.isprintable()
    said = fails(isp, "configure", "home1", "film", "rate=88kbit")
    assert words in said
    assert said.endswith("; film of home1 stays as it was")


def test_a_hook_that_prints_nonsense_and_succeeds_is_done(isp, hook):
    hook("cat; head -c 300000 /dev/urandom; exit 0")
    assert isp.manager("configure", "home1", "film", "rate=96kbit", "--no-push").returncode == 0
    isp.pull()
    assert isp.classes("film")["lane"]["rate"] == 96000


def test_a_rate_that_the_line_does_not_have_is_said_where_it_was_ordered(isp):
    isp.publish("wide", GOOD, may="{add_class: {max: 1}, add_class_member: {max: 1}}")
    done = isp.manager("subscribe", "home1", "wide", "--config", "rate=7mbit")
    assert done.returncode == 1
    assert "home1 reports: wide failed: rate 875 kB/s does not fit down: 1000 kB/s line, 150 base, " in done.stderr
    assert "stands; 'isdf-manager status' tells more" in done.stderr
    assert isp.classes("wide") == {}
    isp.end("wide")


def test_a_configuration_that_a_running_service_cannot_take_leaves_the_one_before(isp):
    before, pids = isp.classes("film"), isp.pids("film")
    done = isp.manager("configure", "home1", "film", "host=nowhere.example")
    assert done.returncode == 1
    assert "home1 reports: film: the name servers know no host nowhere.example" in done.stderr
    assert (isp.classes("film"), isp.pids("film")) == (before, pids)
    assert isp.told("film")["state"] == "running"
