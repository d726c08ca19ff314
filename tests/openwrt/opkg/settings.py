"""opkg's configuration: files of lines `option NAME VALUE`, `src NAME URL`, `dest NAME PATH` and so on, and its lock.

Reference: opkg-lede `libopkg/opkg_conf.c`.
"""

import fcntl
import os

_FLAGS = {
    "force_defaults", "force_maintainer", "force_depends", "force_overwrite", "force_downgrade", "force_reinstall",
    "force_space", "force_postinstall", "force_checksum", "check_signature", "no_check_certificate", "test", "noaction",
    "download_only", "nodeps", "nocase", "query-all", "size", "strip_abi",
}  # fmt: skip
_VALUES = {
    "cache", "ftp_proxy", "http_proxy", "http_timeout", "https_proxy", "no_proxy", "offline_root", "overlay_root",
    "proxy_passwd", "proxy_user", "tmp_dir", "verbosity", "verify_program",
}  # fmt: skip
_LOCK = "/var/lock/opkg.lock"


class Failed(Exception):
    """opkg ends here with 255; what went wrong is said already."""


class Source:
    """A feed: `name` is also that of its list."""

    def __init__(self, name, url, compressed):
        self.name, self.url, self.compressed = name, url, compressed


class Settings:
    """What the command line and the configuration files say; `flags` holds the options that are on."""

    def __init__(self, console):
        self.console = console
        self.flags, self.values = set(), {}
        self.conf_file = self.lists_dir = self.dest_name = None
        self.sources, self.architectures, self.destinations = [], [], []
        self._lock = self.tmp = None

    @property
    def offline_root(self):
        return self.values.get("offline_root", "")

    def load(self):
        """Read the files, take the lock and make the folders; `Failed` when one of these cannot be."""
        if "offline_root" not in self.values and os.environ.get("OFFLINE_ROOT"):
            self.values["offline_root"] = os.environ["OFFLINE_ROOT"]
        if not self.conf_file and not self.offline_root:
            self.conf_file = "/etc/opkg.conf"
        if self.conf_file:
            if not os.path.exists(self.conf_file):
                self._fail("opkg_conf_load", f"Couldn't stat {self.conf_file}: No such file or directory.")
            self._read(self.conf_file)
        default = os.environ.get("OPKG_CONF_DIR", "/etc/opkg")
        folder = self.offline_root + "/etc/opkg" if self.offline_root else default
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = f"{folder}/{name}"
            if name.endswith(".conf") and not name.startswith(".") and path != self.conf_file:
                self._read(path)
        self._take_lock()
        self._make_folders()

    def release(self):
        """Give the lock back and remove the temporary folder."""
        if self.tmp:
            for folder, folders, names in os.walk(self.tmp, topdown=False):
                for name in names:
                    os.unlink(os.path.join(folder, name))
                for name in folders:
                    os.rmdir(os.path.join(folder, name))
            os.rmdir(self.tmp)
        if self._lock is not None:
            os.unlink(self._lock_path())
            os.close(self._lock)

    def priority(self, architecture):
        """The priority of an architecture, 0 for one that does not fit."""
        for name, priority in self.architectures:
            if name == architecture:
                return priority
        return 0

    def _read(self, path):
        with open(path) as file:
            for number, line in enumerate(file, 1):
                words = _words(line)
                if words and not words[0].startswith("#"):
                    self._take(words, f"{path}:{number}", line.rstrip("\n"))

    def _take(self, words, place, line):
        kind, name, value = (*words, "", "")[:3]
        if len(words) > 4 and not kind.startswith("dist"):
            self._say(f"{place}: Ignoring config line with trailing garbage: `{line}'")
        elif kind == "option":
            self._option(name, value)
        elif kind in ("src", "src/gz"):
            if any(source.name == name for source in self.sources):
                self._say(f"Duplicate src declaration ({name} {value}). Skipping.")
            else:
                self.sources.append(Source(name, value, kind == "src/gz"))
        elif kind == "dest":
            self.destinations.append((name, value))
        elif kind == "lists_dir":
            self.lists_dir = value
        elif kind == "arch":
            self.architectures.append((name, int(value) if value.isdigit() else 0))
        else:
            self._say(f"{place}: Ignoring invalid line: `{line}'")

    def _option(self, name, value):
        name = {"test": "noaction"}.get(name, name)
        where = "opkg_conf_set_option"
        if name in _FLAGS:
            if name in self.flags:
                self.console.error(where, f"Duplicate boolean option {name}, leaving this option on.")
            self.flags.add(name)  # whatever its value: `option check_signature 0` is on, too
        elif name in _VALUES:
            if name in self.values:
                first = self.values[name]
                self.console.error(where, f'Duplicate option {name}, using first seen value "{first}".')
            self.values.setdefault(name, value)
        else:
            self.console.error(where, f"Unrecognized option: {name}={value}")

    def _lock_path(self):
        return f"{self.offline_root}/{_LOCK}" if self.offline_root else _LOCK

    def _take_lock(self):
        path, where = self._lock_path(), "opkg_conf_load"
        try:
            lock = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o640)
        except OSError as error:
            self._fail(where, f"Could not create lock file {path}: {error.strerror}.")
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            self._fail(where, f"Could not lock {path}: {error.strerror}.")
        self._lock = lock

    def _make_folders(self):
        base = self.values.get("tmp_dir") or os.environ.get("TMPDIR") or "/tmp"
        tmp = f"{base}/opkg-{os.urandom(4).hex()}"
        try:
            os.mkdir(tmp, 0o700)
        except OSError as error:
            self._fail("opkg_conf_load", f"Creating temp dir {base}/opkg-XXXXXX failed: {error.strerror}.")
        self.tmp = tmp
        lists = self.lists_dir or "/usr/lib/opkg/lists"
        self.lists_dir = f"{self.offline_root}/{lists}" if self.offline_root else lists
        self.architectures = self.architectures or [("all", 1), ("noarch", 1), (os.uname().machine, 10)]
        self.destinations = [
            Destination(name, self.offline_root + path) for name, path in self.destinations or [("root", "/")]
        ]
        for destination in self.destinations:
            os.makedirs(destination.info, exist_ok=True)
        os.makedirs(self.lists_dir, exist_ok=True)
        self.default = self.destinations[0]
        if self.dest_name is not None:
            named = [destination for destination in self.destinations if destination.name == self.dest_name]
            if not named:
                self._fail("resolve_pkg_dest_list", f"Unknown dest name: `{self.dest_name}'.")
            self.default = named[0]

    def _say(self, text):
        self.console.error("opkg_conf_parse_file", text)

    def _fail(self, where, text):
        self.console.error(where, text)
        raise Failed


class Destination:
    """A place that packages are installed in: `root` ends with a slash."""

    def __init__(self, name, root):
        self.name, self.root = name, root if root.endswith("/") else root + "/"
        self.info, self.status = f"{self.root}/usr/lib/opkg/info", f"{self.root}/usr/lib/opkg/status"


def _words(line):
    """The words of a line; one in double quotes may hold blanks."""
    words, rest = [], line.strip()
    while rest:
        if rest[0] == '"' and '"' in rest[1:]:
            word, _, rest = rest[1:].partition('"')
        else:
            word, *more = rest.split(None, 1)
            rest = more[0] if more else ""
        words.append(word)
        rest = rest.strip()
    return words
