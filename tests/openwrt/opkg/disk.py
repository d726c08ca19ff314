"""What opkg has on disk of a package: its files, its scripts and what it notes of both.

Reference: opkg-lede `libopkg/opkg_install.c` (clashes), `opkg_remove.c`, `pkg.c` (scripts, file lists).
"""

import os

from . import archive
from .console import run


class Disk:
    """The files of the packages of `database`, below the places that `settings` has."""

    def __init__(self, settings, database):
        self.settings, self.database, self.console = settings, database, settings.console

    def check_lists(self):
        """Say which installed packages have no list of their files; opkg does so before each change."""
        for package in self.database.installed():
            path = f"{package.dest.info}/{package.name}.list"
            if not os.path.exists(path):
                text = f"Failed to open {path}: No such file or directory."
                self.console.error("pkg_get_installed_files", text)

    def files(self, package):
        """The files of an installed package: below the offline root where there is one."""
        path = f"{package.dest.info}/{package.name}.list"
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [self.settings.offline_root + line.rstrip("\n") for line in file]

    def unpack_control(self, package, control):
        package.unpacked = f"{self.settings.tmp}/{package.name}-{os.urandom(3).hex()}"
        os.mkdir(package.unpacked)
        for member in control:
            if member.path.removeprefix("./"):
                archive.extract(member, f"{package.unpacked}/{member.path.removeprefix('./')}")

    def place(self, package, control, paths):
        """Write the package's scripts, its files (`paths` names each) and the list of them."""
        for member in control:
            if member.path.removeprefix("./"):
                archive.extract(member, f"{package.dest.info}/{package.name}.{member.path.removeprefix('./')}")
        for path, member in paths.items():
            archive.extract(member, path)
        with open(f"{package.dest.info}/{package.name}.list", "w") as file:
            for path, member in paths.items():
                if member.kind != b"5":
                    file.write(path[len(self.settings.offline_root) :] + "\n")

    def clashes(self, package, paths):
        """How many of `paths` belong to other packages; files that belong to none are no obstacle."""
        if "force_overwrite" in self.settings.flags:
            return 0
        owners = {path: other.name for other in self.database.installed() for path in self.files(other)}
        clashing = [path for path in paths if owners.get(path, package.name) != package.name and os.path.isfile(path)]
        for path in clashing:
            text = (
                f"Package {package.name} wants to install file {path}\n\tBut that file is already provided by package "
            )
            self.console.error("check_data_file_clashes", text, end="")
            self.console.more(owners[path])
        return len(clashing)

    def script(self, package, name, words):
        """Whether the script did not fail; one that is not there does not."""
        flags = self.settings.flags
        if "noaction" in flags or (self.settings.offline_root and "force_postinstall" not in flags):
            return True
        path = f"{package.dest.info}/{package.name}.{name}" if package.installed else f"{package.unpacked}/{name}"
        if not os.path.exists(path):
            return True
        upgrade = "1" if package.upgrade else "0"
        environment = {**os.environ, "PKG_ROOT": package.dest.root, "PKG_UPGRADE": upgrade}
        status = run(["/bin/sh", "-c", f"{path} {words}"], environment)
        if status:
            self.console.error("pkg_run_script", f'package "{package.name}" {name} script returned status {status}.')
            if name == "postinst":
                self.console.error("opkg_configure", f"{package.name}.postinst returned {status}.")
        return status == 0

    def delete_files(self, package):
        """All files that no other package has; folders stay, as they are in no list."""
        if "noaction" in self.settings.flags:
            return
        others = {path for other in self.database.installed() if other is not package for path in self.files(other)}
        for path in self.files(package):
            if path not in others and os.path.lexists(path) and not os.path.isdir(path):
                os.unlink(path)

    def delete_info(self, package):
        if "noaction" in self.settings.flags:
            return
        for name in os.listdir(package.dest.info):
            if name.startswith(package.name + "."):
                os.unlink(f"{package.dest.info}/{name}")
