"""Who may do what on the stand-in bus: ubusd's rules and its files /usr/share/acl.d/*.json.

Reference: openwrt/ubus `ubusd_acl.c`. root may do everything; anybody else needs an entry of his user or one of his
groups. A key that ends in `*` is a prefix. Files that others may write, or that are not root's, are passed over.
"""

import grp
import json
import pwd
import stat
import sys
from pathlib import Path

ACCESS, PUBLISH, SUBSCRIBE, LISTEN, SEND = "access", "publish", "subscribe", "listen", "send"
MAX_GROUPS = 64


class Credentials:
    """Who is at the other end of a socket. `KeyError` if the system does not know the user or the group."""

    __slots__ = ("gid", "group", "groups", "root", "uid", "user")

    def __init__(self, pid: int, uid: int, gid: int) -> None:
        self.uid, self.gid = uid, gid
        self.user, self.group = pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name
        self.groups = _extra_groups(pid)
        self.root = uid == 0


def _extra_groups(pid: int) -> set[int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return set()
    for line in status.splitlines():
        if line.startswith("Groups:"):
            return {int(gid) for gid in line.split()[1 : MAX_GROUPS + 1]}
    return set()


class Entry:
    """What one file says of one key."""

    __slots__ = ("acl", "gid", "group", "key", "methods", "partial", "right", "uid", "user")

    def __init__(self, key: str, right: str, owner: dict) -> None:
        self.partial = key.endswith("*")
        self.key = key.removesuffix("*").encode()
        self.right = right
        self.user, self.uid, self.group, self.gid = owner["user"], owner["uid"], owner["group"], owner["gid"]
        self.methods: list = []
        self.acl: dict | None = None

    def fits(self, who: Credentials) -> bool:
        return who.uid == self.uid or who.gid == self.gid or self.gid in who.groups


def matching(entries: list, key: bytes):
    """The entries whose `key` fits, in a list sorted by key; stops where ubusd's walk through its tree stops."""
    longest = 0
    for entry in entries:
        common = next((n for n, (a, b) in enumerate(zip(key, entry.key, strict=False)) if a != b), None)
        if common is None:
            common = min(len(key), len(entry.key))
        if common < longest:
            break
        longest = common
        if entry.key == key or (entry.partial and common == len(entry.key)):
            yield entry


class Acl:
    """The entries of all files in `folder`, read by `load`."""

    def __init__(self, folder: str) -> None:
        self.folder, self.sequence = Path(folder), 0
        self.entries: list[Entry] = []

    def load(self) -> bool:
        """Read the files; False if there is none, in which case what was read before stays, as with ubusd."""
        paths = sorted(path for path in self.folder.glob("*.json") if not path.name.startswith("."))
        if not paths:
            return False
        entries: list[Entry] = []
        for path in paths:
            if _trusted(path):
                try:
                    content = json.loads(path.read_text())
                    entries += _entries(content)
                except (OSError, ValueError, AttributeError) as error:
                    _complain(f"failed to parse {path}: {error}")
        self.entries = sorted(entries, key=lambda entry: entry.key)
        self.sequence += 1
        return True

    def allows(self, who: Credentials, key: str | None, right: str, method: str | None = None) -> bool:
        """May `who` do `right` with `key` (an object's path, or an event)? Nameless objects are open to all."""
        if who.root or key is None:
            return True
        for entry in matching(self.entries, key.encode()):
            covered = right != ACCESS or method in entry.methods or "*" in entry.methods
            if covered and entry.right == right and entry.fits(who):
                return True
        return False


def _trusted(path: Path) -> bool:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return False
    if found.st_uid or found.st_gid:
        _complain(f"{path} has wrong owner")
        return False
    if found.st_mode & (stat.S_IWOTH | stat.S_IWGRP | stat.S_IXOTH):
        _complain(f"{path} has wrong permissions")
        return False
    return True


def _entries(content: dict):
    user, group = content.get("user"), content.get("group")
    owner = {"user": None, "uid": -1, "group": None, "gid": -1}
    # A name that the system does not know stands for root, who needs no entry.
    if isinstance(user, str):
        owner["user"], owner["uid"] = user, _number(lambda: pwd.getpwnam(user).pw_uid)
    elif isinstance(group, str):
        owner["group"], owner["gid"] = group, _number(lambda: grp.getgrnam(group).gr_gid)
    else:
        return
    access = content.get(ACCESS)
    for key, what in access.items() if isinstance(access, dict) else ():
        if key and isinstance(what, dict) and what.keys() & {"methods", "tags", "acl"}:
            entry = Entry(key, ACCESS, owner)
            entry.methods = what["methods"] if isinstance(what.get("methods"), list) else []
            entry.acl = what["acl"] if isinstance(what.get("acl"), dict) else None
            yield entry
    for right in (PUBLISH, SUBSCRIBE, LISTEN, SEND):
        keys = content.get(right)
        for key in keys if isinstance(keys, list) else ():
            if key and isinstance(key, str):
                yield Entry(key, right, owner)


def _number(look) -> int:
    try:
        return look()
    except KeyError:
        return 0


def _complain(what: str) -> None:
    print(f"ubusd: {what}", file=sys.stderr, flush=True)
