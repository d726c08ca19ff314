"""All packages that opkg knows, and which of them it would take: feeds' lists, the status files, files by hand.

Reference: opkg-lede `libopkg/pkg_hash.c`, `pkg_vec.c`.
"""

import os

from . import archive, versions
from .package import UNKNOWN_TO_THE_STAND_IN, alternatives_text, parse


class Database:
    """Packages by name, of each its versions."""

    def __init__(self, settings):
        self.settings, self.console = settings, settings.console
        self._by_name = {}

    def all(self):
        return [package for name in sorted(self._by_name) for package in self._by_name[name]]

    def installed(self):
        return [package for package in self.all() if package.installed]

    def installed_by_name(self, name):
        return next((package for package in self._by_name.get(name, ()) if package.installed), None)

    def load_lists(self, names=None):
        """The feeds' lists, as the last `update` left them; with `names`, only these and what they need.

        A package given by hand is not among the names of an installation: so it goes before the feed's of its name.
        """
        known = list(self._listed())
        if names is not None:
            wanted = set(names).union(*(package.needs for package in self.all()))
            before = -1
            while before != len(wanted):
                before = len(wanted)
                for package in known:
                    if wanted & {package.name, *package.provides}:
                        wanted |= {package.name} | package.needs
            known = [package for package in known if package.name in wanted]
        for package in known:
            self._add(package, False)

    def _listed(self):
        for source in self.settings.sources:
            path = f"{self.settings.lists_dir}/{source.name}"
            if not os.path.exists(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            if source.compressed:
                import zlib

                data = zlib.decompress(data, 16 + zlib.MAX_WBITS)
            yield from parse(data.decode(errors="replace"), source=source)

    def load_status(self):
        """What is installed."""
        for dest in self.settings.destinations:
            if os.path.exists(dest.status):
                with open(dest.status, errors="replace") as file:
                    for package in parse(file.read(), dest=dest):
                        self._add(package, True)

    def load_file(self, path):
        """The package in the file `path`, given by hand; None if there is none, which is said."""
        where = "pkg_init_from_file"
        if not os.path.exists(path):
            self.console.error("wfopen", f"{path}: No such file or directory.")
            self.console.error(where, f"Failed to extract control file from {path}.")
            return None
        try:
            members = archive.inner(path, "control.tar.gz")
            control = next(member.data for member in members if member.path.removeprefix("./") == "control")
            [package] = parse(control.decode(errors="replace"), dest=self.settings.default)
        except (archive.Broken, StopIteration, ValueError):
            self.console.error(where, f"Malformed package file {path}.")
            return None
        package.local, package.by_hand, package.want = path, True, "install"
        if not self.settings.priority(package.architecture):
            package.architecture = ""  # it keeps none that it was not told of
        package.flags.add("prefer")
        self._add(package, True)
        return package

    def candidate(self, name, alternative=None, quiet=False):
        """The package to install for `name`: by hand before the newest, and of an architecture that fits."""
        providers = [
            package
            for package in self.all()
            if (package.name == name or name in package.provides) and self._fits(package, quiet)
        ]
        providers.sort(key=_Order)
        wanted = [p for p in providers if (p.satisfies(alternative) if alternative else p.name == name)]
        if not providers and any(p.name == name or name in p.provides for p in self.all()):
            self.console.error(
                "pkg_hash_fetch_best_installation_candidate",
                f"Packages for {name} found, but incompatible with the architectures configured",
            )
        held = [package.name for package in providers if package.flags & {"hold", "prefer"}]
        for n, other in enumerate(held[1:]):
            self.console.notice(
                f"Multiple packages ({held[n]} and {other}) providing same name marked HOLD or PREFER. Using latest."
            )
        by_hand = [package for package in wanted if package.by_hand]
        if by_hand:
            return by_hand[0]
        named = [package for package in wanted if package.name == name]
        return (named or wanted or [None])[-1]

    def missing(self, package):
        """What `package` needs that is not installed: the packages, dependencies first, and the words for those that
        are nowhere."""
        found, lost = [], []
        if package.checking:
            return found, lost
        package.checking = True
        for alternatives in package.depends:
            if any(p.installed and p.satisfies(one) for one in alternatives for p in self.all()):
                continue
            for one in alternatives:
                choice = self.candidate(one[0], one, quiet=True)
                if choice and choice.satisfies(one):
                    more, more_lost = self.missing(choice)
                    found += [p for p in [*more, choice] if p not in found and p is not package]
                    lost += more_lost
                    break
            else:
                lost.append(alternatives_text(alternatives))
        package.checking = False
        return found, lost

    def dependents(self, package):
        """The installed packages that need `package`."""
        names = {package.name, *package.provides}
        return [other for other in self.installed() if names & other.needs]

    def write_status(self):
        """The status file of each place."""
        for dest in self.settings.destinations:
            stanzas = [
                package.status_stanza()
                for package in self.all()
                if package.dest is dest
                and (package.installed or (package.want == "install") or "hold" in package.flags)
            ]
            with open(dest.status, "w") as file:
                file.write("".join(stanzas))

    def _fits(self, package, quiet):
        if not self.settings.priority(package.architecture):
            return False
        if package.installed or package.checked or quiet:
            return True
        package.checked = True
        lost = self.missing(package)[1]
        for words in lost:
            text = f"cannot find dependency {words} for {package.name}"
            self.console.error("pkg_hash_check_unresolved", text)
        return not lost

    def _add(self, package, merging):
        if not package.by_hand and not self.settings.priority(package.architecture):
            self.console.notice(
                f"Package {package.name} version {package.version} has no valid architecture, ignoring."
            )
            return
        for field in UNKNOWN_TO_THE_STAND_IN:
            if field in package.fields:
                self.console.error("stand-in", f"Package {package.name} has {field}, which the stand-in does not know.")
        versions_known = self._by_name.setdefault(package.name, [])
        for at, known in enumerate(versions_known):
            if known.same(package):
                if merging:
                    package.merge(known)
                versions_known[at] = package
                return
        versions_known.append(package)


class _Order:
    """Sorts packages by name and version."""

    def __init__(self, package):
        self.package = package

    def __lt__(self, other):
        a, b = self.package, other.package
        return a.name < b.name if a.name != b.name else versions.compare(a.version, b.version) < 0
