"""What the documents say is so: links lead somewhere, commands exist, examples run and print what is shown."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from docs.console import CHECKOUT, play, shape, sold, steps
from isdf.sdk.service import load
from isdf.sdk.testing import configured
from isdf_agent import bus
from isdf_manager import catalogue, cli
from premises.host import wait_until
from premises.premises import Premises

DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
OPERATE, WRITE = CHECKOUT / "docs/operate.md", CHECKOUT / "docs/write-a-service.md"
UBUS = CHECKOUT / "docs/reference/ubus.md"
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_to_a_file_and_a_heading_of_it(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", document.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link} is not there"
        assert not anchor or anchor in anchors(target), f"{link}: {path or document.name} has no such heading"


def commands(text: str) -> list[list[str]]:
    """The arguments of each `isdf-manager` that is typed in a block or named in a sentence."""
    typed = re.findall(r"^(?:\$ |    ).*$", text, re.M) + re.findall(r"`(isdf-manager [^`]+)`", _FENCE.sub("", text))
    found = [match for line in typed for match in re.findall(r"(?<![\w/'])isdf-manager( [^|;>&]+)", line)]
    return [shlex.split(words) for words in found if "..." not in words]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_command_line_of_the_manager_is_understood(document):
    for words in commands(document.read_text()):
        cli.parser().parse_args(words)  # SystemExit where it is wrong


def test_the_commands_are_found_at_all():
    assert ["push", "home1"] in commands(OPERATE.read_text())
    assert len(commands(OPERATE.read_text())) > 20
    assert len(commands(WRITE.read_text())) > 3


def test_every_command_of_the_manager_is_shown_to_the_operator():
    (actions,) = [a for a in cli.parser()._actions if a.choices and "init" in a.choices]
    used = {words[0] for words in commands(OPERATE.read_text()) if not words[0].startswith("-")}
    assert set(actions.choices) == used


def objects() -> dict[str, dict[str, list[str]]]:
    """What the agent puts on ubus: the names of the arguments by object and method."""
    connection = MagicMock()
    bus.publish(connection, *[MagicMock()] * 4)
    return {
        call.args[0]: {m: list(about.args) for m, about in call.args[1].items()} for call in connection.add.mock_calls
    }


def test_the_reference_of_ubus_has_every_method_and_no_other():
    offered = {f"{path} {method}" for path, methods in objects().items() for method in methods}
    assert set(re.findall(r"^### (.*)$", UBUS.read_text(), re.M)) == offered


def test_the_reference_of_ubus_names_every_argument():
    sections = re.split(r"^##+ ", UBUS.read_text(), flags=re.M)
    for path, methods in objects().items():
        for method, arguments in methods.items():
            (section,) = [s for s in sections if s.startswith(f"{path} {method}\n")]
            assert [a for a in arguments if f"`{a}`" not in section] == []


def files(document: Path, to: Path) -> None:
    """Write the blocks of a document that are files (```language path) below `to`."""
    for path, content in re.findall(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", document.read_text(), re.M | re.S):
        target = to / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


@pytest.fixture
def example(tmp_path, monkeypatch) -> Path:
    """The files of write-a-service.md, in the folder where we are."""
    files(WRITE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "service", raising=False)
    return tmp_path


def test_the_service_that_is_written_there_asks_for_what_the_page_says(example):
    control = configured(load(example / "feed/game-lane"), ports=["27015-27030", "3074"], rate="512kbit")
    assert set(control.classes) == {"games"}
    assert sorted(flow.remote_port for _, flow in control.members.values()) == ["27015-27030", "3074"]


def test_its_description_can_be_published(example):
    assert catalogue.pack(example / "feed/game-lane")[0]["name"] == "game-lane"


def test_its_unit_test_passes(example):
    there: dict = {}
    exec((example / "test_game_lane.py").read_text(), there)
    tests = [value for key, value in there.items() if key.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_a_step_of_a_session_is_read_with_its_commands_and_outputs():
    text = "```console manager\n$ cat >x <<'END'\n> a\n> END\n$ ls\nx\n```\n<!-- copy manager:/x home1.router:/y -->\n"
    first, second = steps(text)
    assert [(c.words, c.shown) for c in first.commands] == [("cat >x <<'END'\na\nEND\n", ""), ("ls\n", "x\n")]
    assert second.copy == ("manager", "/x", "home1.router", "/y")


def test_the_shape_of_an_output_has_no_times_and_no_secrets():
    assert shape("pulled after 187 ms\n") == shape("pulled after 5 ms\n") != shape("pulled\n")
    assert shape("home1   1m 5s ago  -") == shape("home1   9s ago     -")
    assert shape("order 07f51da61cd3cf22") == shape("order 7777777777777777")


def compare(played) -> None:
    """Every command prints what the document shows, but for numbers, times and keys."""
    for step, said in played:
        for command, output in zip(step.commands, said, strict=True):
            assert shape(output) == shape(command.shown), command.words


@pytest.mark.system
def test_operate_is_as_it_is_told():
    with Premises(homes=1) as net:
        compare(play(net, OPERATE.read_text()))


@pytest.mark.system
def test_the_agent_answers_on_ubus_as_its_reference_shows():
    with Premises(homes=1) as net:
        sold(net)
        compare(play(net, UBUS.read_text()))


@pytest.mark.system
def test_the_service_that_is_written_there_runs_in_a_home(example):
    with Premises(homes=1) as net:
        net.start_manager()
        net.services_manager.publish(example / "feed/game-lane")
        net.add_device(net.home(1))
        net.home(1).router.start_agent()
        wait_until(lambda: net.is_known(net.home(1)), 20, "the first pull of home 1")
        said = net.operator(["subscribe", "home1", "game-lane", "--config", "ports=27015-27030,3074"]).stdout
        assert shape(said) in shape(WRITE.read_text())
        assert shape(net.home(1).router.run(["ubus", "call", "isdf.control", "list"]).stdout) in shape(
            WRITE.read_text()
        )
        refused = net.operator(["configure", "home1", "game-lane", "ports=many"], check=False)
        assert shape(refused.stdout + refused.stderr) in shape(WRITE.read_text())
