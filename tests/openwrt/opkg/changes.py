"""Installing, upgrading and removing: what opkg does to files, in its order, with the package's scripts.

Reference: opkg-lede `libopkg/opkg_install.c`, `opkg_remove.c`, `opkg_configure.c`.
"""

import os
import time

from . import archive, download, versions
from .disk import Disk


class Changes:
    """The changes of one command; the caller writes the status file when `made`."""

    def __init__(self, settings, database):
        self.settings, self.database, self.console = settings, database, settings.console
        self.disk, self.made = Disk(settings, database), False

    def install_by_name(self, name):
        """Whether `name` is installed in its best version (which may be the one that is there)."""
        old, new = self.database.installed_by_name(name), self.database.candidate(name)
        if new is None:
            self.console.notice(f"Unknown package '{name}'.")
            return False
        new.flags.add("user")
        if old:
            order = versions.compare(old.version, new.version)
            if order > 0 and "force_downgrade" in self.settings.flags:
                order = -1
            if order == 0:
                self.console.notice(f"Package {old.name} ({old.version}) installed in {old.dest.name} is up to date.")
                return True
            if order > 0:
                self._not_downgrading(old, new)
                return True
            new.dest, old.want = old.dest, "deinstall"
        return self.install(new)

    def upgrade(self, old):
        """Whether `old` is at its best version."""
        new = self.database.candidate(old.name)
        if "hold" in old.flags or new is None:
            return True
        order = versions.compare(old.version, new.version)
        if order > 0:
            self._not_downgrading(old, new)
        if order >= 0:
            return True
        new.dest, old.want = old.dest, "deinstall"
        new.flags.add("user")
        return self.install(new)

    def install(self, package):
        """Whether `package` is unpacked now, its dependencies before it."""
        flags, old = self.settings.flags, self.database.installed_by_name(package.name)
        if package.status == "installed":
            if not self._dependencies(package):
                return False
            self.console.notice(f"Package {package.name} is already installed on {package.dest.name}.")
            return True
        package.dest = package.dest or self.settings.default
        if not self._announce(package, old):
            return False
        package.want = "install"
        if old:
            old.want = "deinstall"
        if not self._fetched(package) or "download_only" in flags:
            return "download_only" in flags
        try:
            control = archive.inner(package.local, "control.tar.gz")
            data = archive.inner(package.local, "data.tar.gz")
        except archive.Broken:
            self.console.error("opkg_install_pkg", f"Failed to unpack control files from {package.local}.")
            return False
        self.disk.unpack_control(package, control)
        if not self._dependencies(package):
            return False
        if package.status == "unpacked":
            return True
        self.made = True
        if old:
            package.upgrade = old.upgrade = True
        return self._replace(package, old, control, data)

    def configure(self):
        """Whether all that was unpacked could be configured, dependencies first."""
        ok, ordered = True, []

        def visit(package):
            if package not in ordered and package.installed and not package.checking:
                package.checking = True
                for alternatives in package.depends:
                    for other in self.database.installed():
                        if any(other.satisfies(one) for one in alternatives):
                            visit(other)
                package.checking = False
                ordered.append(package)

        for package in self.database.installed():
            visit(package)
        for package in [package for package in ordered if package.status == "unpacked"]:
            self.console.notice(f"Configuring {package.name}.")
            if self.disk.script(package, "postinst", "configure"):
                package.status = "installed"
                package.flags.discard("prefer")
                self.made = True
            else:
                ok = False
        return ok

    def remove(self, package):
        """Whether `package` is removed."""
        flags = self.settings.flags
        if package.fields.get("Essential") == "yes" and "force_removal_of_essential_packages" not in flags:
            self.console.notice(
                f"Refusing to remove essential package {package.name}.\n"
                "\tRemoving an essential package may lead to an unusable system, but if\n"
                "\tyou enjoy that kind of pain, you can force opkg to proceed against\n"
                "\tits will with the option: --force-removal-of-essential-packages"
            )
            return False
        dependents = self.database.dependents(package) if "force_depends" not in flags else []
        if dependents and "force_removal_of_dependent_packages" not in flags:
            self._still_needed(package, dependents)
            return False
        for dependent in dependents:
            if dependent.installed and not self.remove(dependent):
                return False
        self.console.notice(f"Removing package {package.name} from {package.dest.name}...")
        package.want, self.made = "deinstall", True
        if not self.disk.script(package, "prerm", "remove") and "force_remove" not in flags:
            self.console.error("opkg_remove_pkg", f'not removing package "{package.name}", prerm script failed')
            self.console.notice(
                "You can force removal of packages with failed prerm scripts with the option: \n\t--force-remove"
            )
            return False
        self.disk.delete_files(package)
        ok = self.disk.script(package, "postrm", "remove")
        self.disk.delete_info(package)
        package.status = "not-installed"
        if "autoremove" in flags:
            self._remove_orphans(package)
        return ok

    def _announce(self, package, old):
        quiet = "download_only" in self.settings.flags
        if old is None:
            if not quiet:
                self.console.notice(f"Installing {package.name} ({package.version}) to {package.dest.name}...")
            return True
        order, word = versions.compare(old.version, package.version), "Upgrading"
        if order > 0 and "force_downgrade" in self.settings.flags:
            order, word = -1, "Downgrading"
        if order > 0:
            self._not_downgrading(old, package)
            return False
        if order == 0:
            self.console.notice(f"{package.name} ({package.version}) already install on {old.dest.name}.")
            return False
        if not quiet:
            self.console.notice(f"{word} {package.name} on {old.dest.name} from {old.version} to {package.version}...")
        package.dest = old.dest
        return True

    def _fetched(self, package):
        settings, where = self.settings, "opkg_install_pkg"
        if package.local is None:
            folder = os.getcwd() if "download_only" in settings.flags else settings.tmp
            if not download.download_package(settings, package, folder):
                text = f"Failed to download {package.name}. Perhaps you need to run 'opkg update'?"
                self.console.error(where, text)
                return False
        if "check_signature" in settings.flags and package.source:
            path = f"{settings.lists_dir}/{package.source.name}"
            complaint = None
            if not os.path.exists(path + ".sig"):
                complaint = f"Signature file is missing for {package.name}. Perhaps you need to run 'opkg update'?"
            elif not download.verified(settings, path):
                complaint = f"Failed to verify the signature of {path}."
            if complaint:
                self.console.error(where, complaint)
                if "force_signature" not in settings.flags:
                    return False
        if not download.intact(package):
            if "force_checksum" not in settings.flags:
                self.console.error(
                    where,
                    f"Checksum or size mismatch for package {package.name}. Either the opkg or the package index are "
                    "corrupt. Try 'opkg update'.",
                )
                return False
            self.console.notice(f"Ignored {package.name} checksum or size mismatch.")
        return True

    def _dependencies(self, package):
        if "nodeps" in self.settings.flags:
            return True
        found, lost = self.database.missing(package)
        if lost:
            self.console.error(
                "satisfy_dependencies_for", f"Cannot satisfy the following dependencies for {package.name}:"
            )
            for words in lost:
                self.console.more(f"\t{words}")
            if "force_depends" not in self.settings.flags:
                return False
        for dependency in found:
            if not dependency.installed:
                dependency.dest = dependency.dest or package.dest
                done = self.install(dependency)
                dependency.automatic = True
                if not done:
                    return False
        return True

    def _replace(self, package, old, control, data):
        """The part without a way back: files and scripts of `old` go, those of `package` come."""
        if old and not self.disk.script(old, "prerm", f"upgrade {package.version}"):
            self.console.error("prerm_upgrade_old_pkg", f'prerm script for package "{old.name}" failed')
            return False
        if not self.disk.script(package, "preinst", f"upgrade {old.version}" if old else "install"):
            self.console.error("preinst_configure", f"Aborting installation of {package.name}.")
            return False
        root = package.dest.root
        paths = {root + member.path.removeprefix("./"): member for member in data if member.path.removeprefix("./")}
        if self.disk.clashes(package, [path for path, member in paths.items() if member.kind != b"5"]):
            return False
        if old and not self.disk.script(old, "postrm", f"upgrade {package.version}"):
            self.console.error("postrm_upgrade_old_pkg", f'postrm script for package "{old.name}" failed')
            return False
        if "noaction" in self.settings.flags:
            return True
        if old:
            for path in self.disk.files(old):
                if path not in paths and os.path.lexists(path) and not os.path.isdir(path):
                    self.console.notice(f"Removing obsolete file {path}.")
            self.disk.delete_files(old)
            self.disk.delete_info(old)
            old.status = "not-installed"
        self.disk.place(package, control, paths)
        package.status, package.time = "unpacked", str(int(time.time()))
        package.flags.discard("prefer")
        return True

    def _remove_orphans(self, package):
        for alternatives in package.depends:
            for one in alternatives:
                other = self.database.installed_by_name(one[0])
                if other and other.automatic and not self.database.dependents(other):
                    self.console.notice(f"{other.name} was autoinstalled and is now orphaned, removing.")
                    self.remove(other)

    def _not_downgrading(self, old, new):
        self.console.notice(
            f"Not downgrading package {old.name} on {old.dest.name} from {old.version} to {new.version}."
        )

    def _still_needed(self, package, dependents):
        where = "print_dependents_warning"
        self.console.error(where, f"Package {package.name} is depended upon by packages:")
        for dependent in dependents:
            self.console.error(where, f"\t{dependent.name}")
        self.console.error(where, f"These might cease to work if package {package.name} is removed.\n")
        self.console.error(where, "Force removal of this package with --force-depends.")
        self.console.error(where, "Force removal of this package and its dependents")
        self.console.error(where, "with --force-removal-of-dependent-packages.")
