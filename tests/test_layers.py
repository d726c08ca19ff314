"""The law of dependencies (who may know whom), read from the imports of every module."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "isdf": ROOT / "package/python-isdf/src/isdf",
    "isdf_agent": ROOT / "package/isdf-agent/src/isdf_agent",
    "isdf_manager": ROOT / "manager/src/isdf_manager",
}
# Each part of the agent: what of the agent it may import besides itself. Ports and values are how parts know the next.
ALLOWED = {
    "monitor": (),
    "services": ("isdf_agent.policy.ports",),
    "policy": ("isdf_agent.dataplane.port",),
    "dataplane": (),
    "delivery": ("isdf_agent.config", "isdf_agent.services.ports"),
}
NETLINK = {"pyroute2", "ctypes"}


@functools.cache
def modules(package):
    """Each module of a package: its dotted name, its file, and the full names that it imports."""
    return list(read(package))


def read(package):
    root = PACKAGES[package]
    for path in sorted(root.rglob("*.py")):
        parts = [package, *path.relative_to(root).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
            container = parts
        else:
            container = parts[:-1]
        yield ".".join(parts), path, set(imports(ast.parse(path.read_text()), container))


def imports(tree, container):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = container[: len(container) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            # "from .. import policy" names a module, "from ..policy import Policy" a thing in one.
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def within(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_only_those_below_them(package):
    below = {"isdf": (), "isdf_agent": ("isdf",), "isdf_manager": ("isdf",)}[package]
    for module, _, names in modules(package):
        for name in names:
            for other in PACKAGES:
                if within(name, other):
                    assert other == package or other in below, f"{module} imports {name}"


@pytest.mark.parametrize("part", ALLOWED)
def test_parts_of_the_agent_know_the_next_one_by_its_port_alone(part):
    own = f"isdf_agent.{part}"
    for module, _, names in modules("isdf_agent"):
        if not within(module, own):
            continue
        for name in names:
            if within(name, "isdf_agent") and name != "isdf_agent" and not within(name, own):
                assert any(within(name, port) for port in ALLOWED[part]), f"{module} imports {name}"


def test_ubus_is_spoken_in_one_module_of_the_agent():
    speaking = {m for m, _, names in modules("isdf_agent") if any(within(n, "isdf.ubus") for n in names)}
    assert speaking <= {"isdf_agent.bus", "isdf_agent.app"}, "app connects and hands the connection to bus"


def test_netlink_is_spoken_only_below_dataplane_and_monitor():
    for module, path, names in modules("isdf_agent"):
        speaks = {n.split(".")[0] for n in names} & NETLINK or "AF_NETLINK" in path.read_text()
        if speaks:
            assert within(module, "isdf_agent.dataplane") or within(module, "isdf_agent.monitor"), module


def test_heavy_libraries_are_for_children_alone():
    for module, _, names in modules("isdf_agent"):
        if any(within(n, "pyroute2") for n in names):
            assert module in {f"isdf_agent.dataplane.{m}" for m in ("shaper", "queues", "redirect")}, module
    for module, _, names in modules("isdf_agent"):
        if module == "isdf_agent.dataplane.link_worker":
            continue
        for heavy in ("shaper", "queues", "redirect"):
            inside = module in {f"isdf_agent.dataplane.{m}" for m in ("shaper", "queues", "redirect")}
            assert inside or f"isdf_agent.dataplane.{heavy}" not in names, f"{module} imports {heavy}"


def test_a_service_imports_the_sdk_alone():
    for path in sorted(ROOT.glob("feed/*/service.py")):
        for name in imports(ast.parse(path.read_text()), ["service"]):
            if within(name, "isdf") or name.startswith("isdf_"):
                assert within(name, "isdf.sdk"), f"{path.parent.name} imports {name}"


def test_packages_are_names_and_no_code():
    for package in PACKAGES:
        for module, path, _ in modules(package):
            if path.name == "__init__.py":
                for node in ast.parse(path.read_text()).body:
                    fine = isinstance(node, ast.Import | ast.ImportFrom | ast.Assign)
                    fine |= isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                    assert fine, f"{module} has code in its __init__.py"
