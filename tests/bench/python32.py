"""A 32-bit Python for a router of the premises: what a process holds there is what it holds on a small router.

Its pointers are as wide as those of a MIPS or ARM router, its speed is this machine's. Debian's i386 packages are
unpacked into build/i386 by mmdebstrap, once; the bench needs Debian's package sources for that.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

from premises import rootfs
from premises.home import Router

ROOT = rootfs.CHECKOUT / "build/i386"
SOURCES = [rootfs.CHECKOUT / "package" / name / "src" for name in ("python-isdf", "isdf-agent")]
PACKAGES = "python3,libnftables1,python3-requests"
SUITE = "bookworm"  # Python 3.11, as OpenWrt 24.10 has it
_LIBRARIES = ("lib", "usr/lib")


def make() -> None:
    """Unpack the system into ROOT if it is not there yet, and compile its modules and ours."""
    if not (ROOT / "usr/bin/python3").exists():
        shutil.rmtree(ROOT, ignore_errors=True)
        source = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}"]
        mirrors = subprocess.run(source, check=True, capture_output=True, text=True).stdout.split()
        argv = ["mmdebstrap", "-q", "--architectures=i386", "--variant=extract", "--skip=check/qemu"]
        hooks = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", f"--include={PACKAGES}"]
        mirror = mirrors[0] if mirrors else "http://deb.debian.org/debian"
        subprocess.run([*argv, *hooks, SUITE, str(ROOT), mirror], check=True)
    ours = ROOT / "isdf"
    shutil.rmtree(ours, ignore_errors=True)
    for source in SOURCES:
        shutil.copytree(source, ours, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(f"{sysconfig.get_path('purelib')}/pyroute2", ours / "pyroute2")
    folders = [str(ours), *map(str, (ROOT / "usr/lib").glob("python3*"))]
    # As on a router, where modules that are not compiled cost more memory.
    compiling = [*argv_of(), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders]
    subprocess.run(compiling, check=True)


def argv_of() -> list[str]:
    """The interpreter as a command line of this machine."""
    paths = ":".join(f"{ROOT}/{folder}/i386-linux-gnu" for folder in _LIBRARIES)
    return [f"{ROOT}/lib/ld-linux.so.2", "--library-path", paths, f"{ROOT}/usr/bin/python3"]


def install(router: Router) -> None:
    """From now on agent and services of `router` run in the 32-bit Python; its stand-ins stay as they are."""
    router.run(["ln", "-sf", f"{ROOT}/lib/ld-linux.so.2", "/lib/ld-linux.so.2"])
    for folder in _LIBRARIES:
        router.run(["ln", "-sfn", f"{ROOT}/{folder}/i386-linux-gnu", f"/{folder}/i386-linux-gnu"])
    run = f"#!/bin/sh\nexport PYTHONPATH={ROOT}/isdf PYTHONDONTWRITEBYTECODE=1\nexec {ROOT}/usr/bin/python3 "
    router.write("/usr/bin/python3", run + '"$@"\n', 0o755)
    router.write("/usr/bin/isdf-agent", run + '-m isdf_agent.app "$@"\n', 0o755)
