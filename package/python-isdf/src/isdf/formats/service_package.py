"""The look into each service's package before it is installed: a service cannot grow beyond its folder.

The package manager would run any script as root and put any file anywhere. So an installer takes only packages in
which there is nothing that could: not even who holds both signing keys reaches beyond a service's folder.
"""

from __future__ import annotations

import re

from ..errors import FormatError
from .assignment import PREFIX, VERSION
from .ipk import STANDARD_SCRIPTS, Package

_FIELDS = {
    "Package", "Version", "Depends", "Source", "SourceName", "License", "LicenseFiles", "Section", "Require-User",
    "SourceDateEpoch", "URL", "CPE-ID", "Maintainer", "Architecture", "Installed-Size", "Description",
}  # fmt: skip
"""All others are refused: Provides, Replaces, Conflicts, Alternatives, Essential, Status ... reach other packages."""
_DEPENDENCY = re.compile(
    r"(libc|python3-isdf|isdf-agent(-[a-z0-9][a-z0-9-]*)?)( \((=|>=|<=|>>|<<) [0-9][A-Za-z0-9.~+_-]*\))?\Z"
)
"""`libc` stands in every package that OpenWrt's build makes, and is on every router."""


def check_service_package(package: Package, name: str) -> None:
    """`FormatError` unless `package` is what a package of the service `name` may be; the sentence says what is not."""
    own = PREFIX + name
    _check_control(package.control, own, f"isdf-{name}:isdf")
    for script, body in package.scripts.items():
        if STANDARD_SCRIPTS.get(script) != body:
            raise FormatError(f"{own} has a script {script!r} that is not OpenWrt's standard one")
    folder = f"/usr/lib/isdf/services/{name}"
    above = {"/", "/usr", "/usr/lib", "/usr/lib/isdf", "/usr/lib/isdf/services"}
    files = {file.path for file in package.files if file.kind == "file"}
    for file in package.files:
        if file.kind not in ("file", "directory"):
            raise FormatError(f"{own} has a {file.kind} {file.path}; a service has files and directories alone")
        if not file.path.startswith(folder + "/") and (file.kind == "file" or file.path not in above | {folder}):
            raise FormatError(f"{own} has {file.path}, which is not below {folder}/")
        if any(file.path.startswith(path + "/") for path in files):
            raise FormatError(f"{own} has {file.path} below a file")
        if "__pycache__" in file.path.split("/") or file.path.endswith(".pyc"):
            raise FormatError(f"{own} has bytecode {file.path}; a router makes its own")
        if file.mode not in ((0o755,) if file.kind == "directory" else (0o644, 0o755)):
            # opkg gives it to a directory that is there already, too: /usr of mode 0 would be the end of a router.
            raise FormatError(f"{own}: {file.path} has mode {file.mode:04o}; a directory has 0755, a file 0644 or 0755")
        if (file.user, file.group, file.uid, file.gid) != ("root", "root", 0, 0):
            raise FormatError(
                f"{own}: {file.path} belongs to {file.user}:{file.group} ({file.uid}:{file.gid}), not root"
            )


def _check_control(control: dict[str, str], own: str, user: str) -> None:
    for field, expected in (("Package", own), ("Architecture", "all"), ("Require-User", user)):
        if control.get(field) != expected:
            raise FormatError(
                f"the package's {field} is {control.get(field)!r}; for this service it must be {expected!r}"
            )
    if not VERSION.match(control.get("Version", "")):
        raise FormatError(
            f"{own} has the version {control.get('Version')!r}, which is not one such as 1.0.0 or 1.0.0_rc1"
        )
    for field in control:
        if field not in _FIELDS:
            raise FormatError(f"{own} has the control field {field}, which a service may not have")
    for dependency in control["Depends"].split(", ") if "Depends" in control else ():
        if not _DEPENDENCY.match(dependency):
            raise FormatError(
                f"{own} depends on {dependency!r}; a service depends on isdf-agent and its features alone"
            )
