"""The contract between the agent's reading of configuration files and OpenWrt's uci, where OPENWRT_ROOT has it."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isdf.errors import InvalidError
from isdf_agent.uci import parse_uci

from .programs import real

FILES = {
    "package x\nconfig a # a comment\n\toption k \"it's\"\n\toption two 'lines\nlong'\n\tlist l 1\n\tlist l '2 3'\n": [
        ("a", None, {"k": "it's", "two": "lines\nlong", "l": ["1", "2 3"]})
    ],
    "config a 'n'\n\n  config b\nconfig c n3": [("a", "n", {}), ("b", None, {}), ("c", "n3", {})],
    "config a\noption k 'it'\\''s'\noption two 'a'b\"c\"\\ d": [("a", None, {"k": "it's", "two": "abc d"})],
    'config a\noption k \'\\n\\\'\noption two "\\n\\"\\\\"\noption three \\n': [
        ("a", None, {"k": "\\n\\", "two": 'n"\\', "three": "n"})
    ],
    "config a\noption k b#c\noption two 'b#c'\n#option three d\n": [("a", None, {"k": "b", "two": "b#c"})],
    "config a\noption k 'b';option two c ;option three d\n": [("a", None, {"k": "b", "two": "c", "three": "d"})],
    "config a\noption k b;option two c\n": [("a", None, {"k": "b"})],
    "config a\noption k b\\\nc\noption two \"d\\\ne\"\noption three 'f\\\ng'\n": [
        ("a", None, {"k": "bc", "two": "de", "three": "f\\\ng"})
    ],
    "config a\r\n\toption k 'b'\r\n\toption two 'c\r\nd'\r\n": [("a", None, {"k": "b", "two": "c\r\nd"})],
    "c a n\no k b\nl l c\n": [("a", "n", {"k": "b", "l": ["c"]})],
    "config a n\noption k b\nconfig a\nconfig a n\noption two c\n": [
        ("a", "n", {"k": "b", "two": "c"}),
        ("a", None, {}),
    ],
    "config a\noption k b\noption k ''\noption two\nlist l ''\n": [("a", None, {"k": "b", "l": [""]})],
    "config a\noption k b\nlist k c\nlist l d\noption l e\n": [("a", None, {"k": ["b", "c"], "l": "e"})],
    "config a-b+c\noption k 'ü\x1c\u2028v'\n": [("a-b+c", None, {"k": "ü\x1c\u2028v"})],
    "": [],
    " \n# nothing\n": [],
}
FAULTS = [
    "config", "config\n", "'config' a\n", "config a\nnonsense b c\n", "config a\noption k b c\n",
    "config a\noption ''\n", "config a\noption k 'b';\n", "config a\noption a-b c\n", "config a n-1\n",
    "config 'a b'\n", "config a n\nconfig b n\n", "option k b\n", "config a\noption k 'b\n\n", "package 'a b'\n",
    "config a ;option k b\n",
]  # fmt: skip
UCI = real("uci")


def ours(text: str) -> str | None:
    """What `uci export` would say of our sections of a file, None where the file has a fault."""
    try:
        sections = parse_uci(text)
    except InvalidError:
        return None
    return exported([(section.type, section.name, section.options) for section in sections])


def theirs(text: str) -> str | None:
    """What `uci export` says of a file, None where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_bytes(text.encode())
        done = subprocess.run([*UCI, "-c", folder, "-P", folder, "export", "x"], capture_output=True)
    return None if done.returncode else done.stdout.decode()


def exported(sections: list[tuple]) -> str:
    lines = ["package x\n"]
    for kind, name, options in sections:
        lines.append(f"\nconfig {quoted(kind)}" + (f" '{name}'" if name else "") + "\n")
        for option, value in options.items():
            if isinstance(value, list):
                lines += [f"\tlist {option} '{quoted(item)}'\n" for item in value]
            else:
                lines.append(f"\toption {option} '{quoted(value)}'\n")
    return "".join(lines) + "\n"


def quoted(text: str) -> str:
    return text.replace("'", "'\\''")


@pytest.fixture(params=["agent", "openwrt"] if UCI else ["agent"])
def read(request):
    return ours if request.param == "agent" else theirs


@pytest.mark.parametrize("text", FILES)
def test_what_a_file_says(read, text):
    assert read(text) == exported(FILES[text])


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_a_fault(read, text):
    assert read(text) is None


WORDS = st.lists(
    st.sampled_from(["a", "b", "'x y'", '"x y"', "\\", "''", "#", ";", '"q\\"z"', "'\n'", '"\\\n"', "\\\n", "ü", "-"]),
    min_size=1, max_size=3,
).map("".join)  # fmt: skip
BLANKS = st.sampled_from([" ", "\t", "  ", "\r", "\\\n"])
LINES = st.tuples(
    st.sampled_from(["", "\t", " "]),
    st.sampled_from(["config", "option", "option", "list", "o", "l", "c", "package"]),
    st.sampled_from([" ", "\t"]),
    st.sampled_from(["a", "b", "n", "'a'"]) | WORDS,
    st.just("") | st.builds("".join, st.tuples(BLANKS, WORDS)),
    st.sampled_from(["", "", " # x", " ;", ";"]),
    st.sampled_from(["\n", "\n", "\r\n", ""]),
).map("".join)  # fmt: skip
RANDOM = st.builds("{}{}".format, st.sampled_from(["config t 'n'\n", ""]), st.lists(LINES, max_size=6).map("".join))


@settings(max_examples=300 if UCI else 30)
@given(RANDOM)
@pytest.mark.system
def test_any_file_says_the_same_to_both(text):
    """Without uci: what we read is read again from what it would write."""
    known = theirs(text) if UCI else (written := ours(text)) and ours(written)
    assert ours(text) == known
