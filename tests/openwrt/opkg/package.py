"""A package as opkg knows it: of an index, of the status file or of a file by hand. And the text they are read from."""

import os
import signal

from . import versions

UNKNOWN_TO_THE_STAND_IN = ("Conflicts", "Replaces", "Alternatives", "Pre-Depends", "Recommends", "Suggests")


class Package:
    """`status` is "not-installed", "unpacked" or "installed"; `want` and `flags` as in the status file."""

    def __init__(self, fields, source=None, dest=None):
        self.fields, self.source, self.dest = fields, source, dest
        self.name, self.version = fields["Package"], fields.get("Version", "")
        self.architecture = fields.get("Architecture", "")
        self.depends = [_alternatives(item) for item in fields.get("Depends", "").split(",") if item]
        self.provides = [name.strip().split("=")[0].strip() for name in fields.get("Provides", "").split(",") if name]
        want, flags, self.status = (fields.get("Status") or "unknown ok not-installed").split()[:3]
        self.want, self.flags = want, set(flags.split(",")) - {"ok"}
        self.time = fields.get("Installed-Time")
        self.automatic = fields.get("Auto-Installed") == "yes"
        self.local = self.unpacked = None
        self.by_hand = self.upgrade = self.checked = self.checking = False

    @property
    def needs(self):
        """The names in all its dependencies."""
        return {one[0] for alternatives in self.depends for one in alternatives}

    @property
    def installed(self):
        return self.status in ("installed", "unpacked")

    def same(self, other):
        return self.name == other.name and self.architecture == other.architecture and (
            versions.compare(self.version, other.version) == 0
        )  # fmt: skip

    def merge(self, other):
        """Take over from `other`, the same version from elsewhere, what is not known here."""
        self.fields = {**other.fields, **self.fields}
        for name in ("source", "dest", "local", "unpacked", "depends", "provides", "by_hand"):
            setattr(self, name, getattr(self, name) or getattr(other, name))

    def satisfies(self, alternative):
        """Whether this package is what one alternative of a dependency asks for."""
        name, operator, version = alternative
        if self.name == name:
            # opkg takes the very version for any relation, for << and >> too.
            same = operator is None or versions.compare(self.version, version) == 0
            return same or versions.satisfies(self.version, operator, version)
        return name in self.provides

    def status_stanza(self):
        """The package's entry in the status file."""
        lines = [("Package", self.name), ("Version", self.version), ("Depends", depends_text(self))]
        lines += [("Provides", ", ".join(self.provides)), ("Status", self.state()), ("Essential", self._essential())]
        lines += [("Architecture", self.architecture), ("Installed-Time", self.time)]
        lines += [("Auto-Installed", "yes" if self.automatic else "")]
        return "".join(f"{name}: {value}\n" for name, value in lines if value) + "\n"

    def info_stanza(self, masked):
        """What `info` and `status` print, without the fields `masked`."""
        names = ("Section", "Architecture", "Maintainer", "MD5Sum", "Size", "Filename", "Source", "Description")
        lines = [("Package", self.name), ("Version", self.version), ("Depends", depends_text(self))]
        lines += [("Provides", ", ".join(self.provides)), ("Status", self.state()), ("Essential", self._essential())]
        lines += [(name, self.fields.get(name)) for name in names if name not in masked]
        lines += [("Installed-Time", self.time)]
        return "".join(f"{name}: {value}\n" for name, value in lines if value) + "\n"

    def state(self):
        flags = [flag for flag in ("hold", "noprune", "prefer", "obsolete", "user") if flag in self.flags]
        return f"{self.want} {','.join(flags) or 'ok'} {self.status}"

    def _essential(self):
        return "yes" if self.fields.get("Essential") == "yes" else ""


def depends_text(package):
    """The dependencies as opkg prints them."""
    return ", ".join(alternatives_text(alternatives) for alternatives in package.depends)


def alternatives_text(alternatives):
    """One dependency as opkg prints it, which turns `<<` into `<`, and `<` into `<=`."""
    texts = []
    for name, operator, version in alternatives:
        printed = {"<<": "<", ">>": ">", "<": "<=", ">": ">="}.get(operator, operator)
        texts.append(name if operator is None else f"{name} ({printed} {version})")
    return " | ".join(texts)


def parse(text, source=None, dest=None):
    """The packages of an index or status file."""
    packages, fields, last = [], {}, ""
    for line in [*text.split("\n"), ""]:
        if line.startswith(" ") and last in ("Description", "Conffiles"):
            fields[last] += line
        elif not line.strip():
            if "Package" in fields:
                packages.append(Package(fields, source, dest))
            fields, last = {}, ""
        else:
            last, _, value = line.partition(":")
            if last == "Depends" and any(item and not item.strip() for item in value.split(",")):
                sys_crash()
            fields[last] = value.strip()
    return packages


def sys_crash():
    """End as the real one ends on `Depends: ` and `Depends: a, `, whatever package has it: by a null pointer."""
    os.kill(os.getpid(), signal.SIGSEGV)


def _alternatives(text):
    found = []
    for item in text.split("|"):
        name, _, rest = item.strip().partition(" ")
        constraint = rest.strip().removeprefix("(").partition(")")[0].strip()
        operator = constraint[:2] if constraint[:2] in ("<<", "<=", ">=", ">>") else constraint[:1]
        if operator in ("<<", "<=", "=", ">=", ">>", "<", ">"):
            found.append((name, operator, constraint[len(operator) :].strip()))
        else:
            found.append((name, None, None))
    return found
