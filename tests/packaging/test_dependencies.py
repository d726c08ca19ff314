"""The modules that our packages import are in packages that they depend on, on each branch of OpenWrt.

`python3-split.json` says which of OpenWrt's python3-* packages has which part of the standard library.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packages import ROOT

pytestmark = pytest.mark.system

SPLIT = json.loads((Path(__file__).parent / "python3-split.json").read_text())["branches"]
STDLIB = sys.stdlib_module_names | {"_sha2"}  # of Python 3.12 and later
SOURCES = {"python3-isdf": ROOT / "package/python-isdf/src", "isdf-agent": ROOT / "package/isdf-agent/src"}
# Of openwrt/openwrt: package/kernel/linux/modules/{netsupport,netdevices,netfilter}.mk,
# package/network/config/firewall4, package/network/utils/nftables, package/system/usign.
BASE = {"firewall4", "nftables-json", "usign", "kmod-sched-core", "kmod-ifb", "kmod-nfnetlink-log"}


def imported(source):
    """The top-level names that the modules below `source` import, wherever in a module."""
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def closure(names, packages):
    """The packages of Python that come with `names`."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in packages and name not in found:
            found.add(name)
            waiting += packages[name]["depends"]
    return found


def depends(name, built):
    """A package's dependencies, those of our own packages included."""
    own = built[name].control["Depends"].split()
    return [d for n in own for d in ([n] if n not in built else depends(n, built))]


@pytest.mark.parametrize("branch", SPLIT)
@pytest.mark.parametrize("name", SOURCES)
def test_what_is_imported_is_depended_on(name, branch, built):
    packages = SPLIT[branch]["packages"]
    home = {module: package for package, what in packages.items() for module in what["modules"]}
    there = closure(depends(name, built), packages)
    own = {"isdf", "isdf_agent", "service"}
    for module in sorted(set(imported(SOURCES[name])) - own):
        assert module in STDLIB or module in home, f"{module} is in no package of OpenWrt known here"
        assert home.get(module, "python3-light") in there, f"{module} needs {home.get(module)}"


@pytest.mark.parametrize("branch", SPLIT)
def test_what_is_imported_directly_is_named_and_not_only_pulled_in(branch, built):
    packages = SPLIT[branch]["packages"]
    named = set(closure(built["isdf-agent"].control["Depends"].split(), packages))
    direct = set(built["isdf-agent"].control["Depends"].split())
    for module in set(imported(SOURCES["isdf-agent"])) - {"isdf", "isdf_agent"}:
        for package, what in packages.items():
            if module in what["modules"] and package not in ("python3-base", "python3-light", "python3-email"):
                assert package in direct, f"{module}: {package} of {sorted(named)}"


@pytest.mark.parametrize("branch", SPLIT)
def test_the_library_works_with_what_its_dependencies_bring(branch, built):
    """Imports every module where what other packages have cannot be imported, not even by the standard library."""
    packages = SPLIT[branch]["packages"]
    there = closure(depends("python3-isdf", built), packages)
    absent = {module for name, what in packages.items() if name not in there for module in what["modules"]}
    names = [
        ".".join(p.relative_to(SOURCES["python3-isdf"]).with_suffix("").parts).removesuffix(".__init__")
        for p in sorted(SOURCES["python3-isdf"].rglob("*.py"))
        if p.name != "__main__.py"
    ]
    program = (
        "import sys, importlib\n"
        f"absent = {absent!r}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in absent: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.path.insert(0, {str(SOURCES['python3-isdf'])!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-ISc", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_manager_is_reached_without_the_codec_idna():
    """No module names it, but `socket` and `ssl` take it for names that are text; unicodedata is in python3-codecs."""
    program = (
        "import socket, sys\n"
        f"sys.path[:0] = {[str(source) for source in SOURCES.values()]!r}\n"
        "from isdf_agent.delivery import connection, pull, race\n"
        "from isdf_agent.monitor import resolver\n"
        "race._looked_up('127.0.0.1', 443)\n"
        "context = connection._context(None, 'https://manager.example')\n"
        "context.wrap_socket(socket.socketpair()[0], 'manager.example', do_handshake_on_connect=False)\n"
        "assert not {'encodings.idna', 'unicodedata', 'stringprep'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-ISc", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_are_looked_up_as_bytes():
    for path in SOURCES["isdf-agent"].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getaddrinfo"):
                assert ast.unparse(node.args[0]).endswith(".encode()"), path


def test_other_dependencies_are_names_of_the_base_repository(built):
    for package in built.values():
        for name in package.control["Depends"].split():
            assert name in BASE or name in built or all(name in s["packages"] for s in SPLIT.values()), name
