"""The sessions in docs: blocks ```console HOST, each command after `$ ` (`> ` continues it), then what it prints.

`console HOST daemon` is a command that goes on; its output is what it has said when it listens. A comment
`<!-- copy FROM-HOST:PATH TO-HOST:PATH -->` stands for a file that the reader carries over. Blocks without a host are
for reading. `python -m docs.console docs/operate.md` (in tests/) writes the real outputs into the document.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docs import wheels
from premises.host import ENVIRONMENT, wait_until
from premises.premises import Premises

CHECKOUT = Path(__file__).parents[2]
HOME, INSTALLED = "/srv/isdf", "/opt/isdf-manager/bin"  # ISDF_MANAGER_HOME and in PATH, as the document says
_BLOCK = re.compile(r"^```console (\S+)( daemon)?\n(.*?)^```\n|^<!-- copy (\S+?):(\S+) (\S+?):(\S+) -->\n", re.M | re.S)
_PORT = ["sh", "-c", "ss -Hltn sport = :8080 | grep -q ."]


@dataclass
class Command:
    """A command line as it is typed, and the output that the document shows."""

    words: str
    shown: str = ""


@dataclass
class Step:
    """A block at `start`..`end` of the document's text: commands on `host`, or a file to be carried over."""

    start: int
    end: int
    host: str = ""
    daemon: bool = False
    commands: list[Command] = field(default_factory=list)
    copy: tuple[str, str, str, str] | None = None


def steps(text: str) -> Iterator[Step]:
    """The steps of a document in their order."""
    for match in _BLOCK.finditer(text):
        if match[4]:
            yield Step(match.start(), match.end(), copy=match.group(4, 5, 6, 7))
            continue
        step = Step(match.start(3), match.end(3), match[1], bool(match[2]))
        for line in match[3].splitlines(keepends=True):
            if line.startswith("$ "):
                step.commands.append(Command(line[2:]))
            elif line.startswith("> ") and not step.commands[-1].shown:
                step.commands[-1].words += line[2:]
            else:
                step.commands[-1].shown += line
        yield step


def play(net: Premises, text: str) -> Iterator[tuple[Step, list[str]]]:
    """Do each step of the document in `net`; the step with what each of its commands printed."""
    installed = f"{INSTALLED}:{sys.base_prefix}/bin:{ENVIRONMENT['PATH']}:{Path(sys.executable).parent}"
    environment = {
        "ISDF_MANAGER_HOME": HOME,
        "PATH": installed,
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if "pip install" in text:
        environment["PIP_FIND_LINKS"] = str(wheels.folder())
    for step in steps(text):
        if step.copy:
            source, path, target, to = step.copy
            net.hosts[target].write(to, net.hosts[source].read(path), 0o600)
            yield step, []
            continue
        host, said = net.hosts[step.host], []
        for command in step.commands:
            argv = ["sh", "-c", f"exec 2>&1; cd {CHECKOUT}; {'exec ' * step.daemon}{command.words}"]
            if step.daemon:
                name = command.words.split()[0]
                log = host.path(f"/var/log/{name}.log")
                before = log.stat().st_size if log.exists() else 0
                host.daemon(name, argv, environment)
                wait_until(lambda host=host: host.run(_PORT, check=False).returncode == 0, 20, "the port")
                said.append(log.read_bytes()[before:].decode())
            else:
                said.append(host.run(argv, check=False, env=environment).stdout)
        yield step, said


def shape(output: str) -> str:
    """What of an output is the same each time: no keys, numbers, times, process ids, nor the widths of columns."""
    output = re.sub(r"\bRW[A-Za-z0-9+/]{54}", "KEY", output)
    output = re.sub(r"\b[A-Z2-7]{4}(-[A-Z2-7]{4}){8}\b", "CODE", output)
    output = re.sub(r"\b([0-9A-F]{2}:){31}[0-9A-F]{2}\b", "HASH", output)
    output = re.sub(r"\b[0-9a-f]{16,}\b", "HEX", output)
    output = re.sub(r"\b\d+(\.\d+)? ?(ms|s|m|h|d)\b( \d+[smh]\b)?", "TIME", output)
    output = re.sub(r"\d+(\.\d+)?(e-?\d+)?", "N", output)
    return "\n".join(" ".join(line.split()) for line in output.strip().splitlines())


def sold(net: Premises) -> None:
    """What docs/reference begins with: home 1 is known to a manager and has just bought pay-per-site."""
    net.start_manager()
    net.operator(["publish", str(net.feed / "pay-per-site")])
    net.add_device(net.home(1))
    net.home(1).router.start_agent()
    wait_until(lambda: net.is_known(net.home(1)), 20, "the first pull of home 1")
    net.operator(["subscribe", "home1", "pay-per-site", "--config", "sites=mirror-a.example", "rate=200kBps"])


def fill(path: Path) -> None:
    """Write the real outputs into the document at `path`."""
    text = path.read_text()
    with Premises(homes=1) as net:
        if "reference" in path.parts:
            sold(net)
        played = list(play(net, text))
    for step, said in reversed([(step, said) for step, said in played if step.commands]):
        block = ""
        for command, output in zip(step.commands, said, strict=True):
            block += "$ " + "> ".join(command.words.splitlines(keepends=True)) + output
            block += "" if output.endswith("\n") or not output else "\n"
        text = text[: step.start] + block + text[step.end :]
    path.write_text(text)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
