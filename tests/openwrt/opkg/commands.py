"""The sub-commands: each takes the settings and the words that follow it, and returns the exit code.

Reference: opkg-lede `libopkg/opkg_cmd.c`.
"""

import sys

from . import download, versions
from .changes import Changes
from .database import Database
from .disk import Disk

FAILED = 255
_BY_HAND = (".ipk", ".opk", ".deb")
_REMOTE = ("http://", "https://", "ftp://", "ftps://")


def update(settings, words):
    _database(settings, lists=False)
    return download.update(settings)


def install(settings, words):
    return _install(settings, _database(settings, lists=False, status=False), words)


def upgrade(settings, words):
    database = _database(settings)
    names = _by_hand(settings, database, words)
    if names is None:
        return FAILED
    changes, ok = Changes(settings, database), True
    changes.disk.check_lists()
    for word, name in zip(words, names, strict=True):
        old = database.installed_by_name(word)
        ok &= changes.upgrade(old) if old else changes.install_by_name(name)
    return _end(changes, ok & changes.configure())


def remove(settings, words):
    database = _database(settings, lists=False)
    changes = Changes(settings, database)
    return _end(changes, _remove(changes, words))


def download_packages(settings, words):
    """`download`: into the working folder, unverified; what is not known is said, and is no failure."""
    database, ok = _database(settings), True
    Disk(settings, database).check_lists()
    for word in words:
        package = database.candidate(word)
        if package is None:
            settings.console.error("opkg_download_cmd", f"Cannot find package {word}.")
            continue
        ok &= download.download_package(settings, package, ".")
        if ok:
            settings.console.notice(f"Downloaded {package.name} as {package.local}.")
        else:
            settings.console.error("opkg_download_cmd", f"Failed to download {package.name}.")
    return 0 if ok else FAILED


def list_available(settings, words):
    seen = []
    for package in sorted(_database(settings).all(), key=lambda package: package.name):
        known = package.source is None and any(package.name == other for other in seen)
        if _matches(package, words) and not known:
            seen.append(package.name)
            _print_package(settings, package, description=True)
    return 0


def list_installed(settings, words):
    for package in _database(settings, lists=False).installed():
        if _matches(package, words):
            _print_package(settings, package)
    return 0


def list_upgradable(settings, words):
    database = _database(settings)
    for old in database.installed():
        new = database.candidate(old.name)
        if new and versions.compare(old.version, new.version) < 0:
            sys.stdout.write(f"{old.name} - {old.version} - {new.version}\n")
    return 0


def files(settings, words):
    database = _database(settings, lists=False)
    package = database.installed_by_name(words[0])
    if package is None:
        settings.console.error("opkg_files_cmd", f"Package {words[0]} not installed.")
        return 0
    where = f"is installed on {package.dest.name} and has the following files:"
    sys.stdout.write(f"Package {package.name} ({package.version}) {where}\n")
    for path in Disk(settings, database).files(package):
        sys.stdout.write(path + "\n")
    return 0


def info(settings, words):
    for package in _database(settings).all():
        if _matches(package, words):
            sys.stdout.write(package.info_stanza(()))
    return 0


def status(settings, words):
    for package in _database(settings, lists=False).installed():
        if _matches(package, words):
            sys.stdout.write(package.info_stanza(("Description", "Source")))
    return 0


def compare_versions(settings, words):
    if len(words) != 3:
        settings.console.error("opkg_compare_versions_cmd", "opkg compare_versions <v1> <op> <v2>")
        return FAILED
    return 0 if versions.satisfies(words[0], words[1], words[2]) else 1


def print_architecture(settings, words):
    for name, priority in settings.architectures:
        sys.stdout.write(f"arch {name} {priority}\n")
    return 0


COMMANDS = {
    "update": update, "install": install, "upgrade": upgrade, "remove": remove, "download": download_packages,
    "list": list_available, "list-installed": list_installed, "list-upgradable": list_upgradable, "files": files,
    "info": info, "status": status, "compare-versions": compare_versions, "print-architecture": print_architecture,
}  # fmt: skip
NEED_WORDS = {"install", "upgrade", "remove", "download", "files", "compare-versions"}


def _database(settings, lists=True, status=True):
    database = Database(settings)
    if lists:
        database.load_lists()
    if status:
        database.load_status()
    return database


def _install(settings, database, words):
    names = _by_hand(settings, database, words)
    if names is None:
        return FAILED
    database.load_lists([word for word in words if not word.endswith(_BY_HAND)])
    database.load_status()
    changes, ok = Changes(settings, database), True
    if "force_reinstall" in settings.flags:
        forced = "force_depends" in settings.flags
        settings.flags.add("force_depends")
        _remove(changes, names)
        if not forced:
            settings.flags.discard("force_depends")
    changes.disk.check_lists()
    for name in names:
        if not changes.install_by_name(name):
            settings.console.error("opkg_install_cmd", f"Cannot install package {name}.")
            ok = False
    return _end(changes, ok & changes.configure())


def _by_hand(settings, database, words):
    """The names of packages for `words`, after files among them are read; None when one is no package."""
    names = []
    for word in words:
        if word.startswith(_REMOTE):
            path = f"{settings.tmp}/{word.rpartition('/')[2]}"
            if not download.download(settings, word, path):
                return None
            word = path
        if not word.endswith(_BY_HAND):
            names.append(word)
            continue
        package = database.load_file(word)
        if package is None:
            return None
        names.append(package.name)
    return names


def _remove(changes, words):
    done, ok, there = False, True, changes.database.installed()
    changes.disk.check_lists()
    for word in words:
        for package in there:
            if not _matches(package, [word]):
                continue
            if not package.installed:
                changes.console.error("opkg_remove_cmd", f"Package {package.name} is not installed.")
                continue
            removed = changes.remove(package)
            done, ok = done or removed, ok and removed
    if not done:
        changes.console.notice("No packages removed.")
    return ok


def _end(changes, ok):
    if changes.made and "noaction" not in changes.settings.flags:
        changes.database.write_status()
    return 0 if ok else FAILED


def _matches(package, patterns):
    if not patterns or patterns[0] == package.name:
        return True
    if not any(letter in patterns[0] for letter in "*?["):
        return False
    import fnmatch

    return fnmatch.fnmatchcase(package.name, patterns[0])


def _print_package(settings, package, description=False):
    size = f" - {package.fields.get('Size', '0')}" if "size" in settings.flags else ""
    text = package.fields.get("Description", "") if description else ""
    sys.stdout.write(f"{package.name} - {package.version}{size}{' - ' + text if text else ''}\n")
