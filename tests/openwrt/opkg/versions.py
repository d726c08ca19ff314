"""Versions in the order that opkg and dpkg have: epoch, then version, then the revision behind the last '-'.

Reference: Debian policy, "Version".
"""


def compare(one, other):
    """Below, at or above 0 as `one` is before, at or behind `other`."""
    for a, b in zip(_parts(one), _parts(other), strict=True):
        result = (a > b) - (a < b) if isinstance(a, int) else _compare(a, b)
        if result:
            return result
    return 0


def satisfies(one, operator, other):
    """Whether `one` stands in the relation `operator` (<<, <=, =, >=, >>; < and > mean <= and >=) to `other`."""
    result = compare(one, other)
    return {
        "<<": result < 0, "<=": result <= 0, "<": result <= 0, "=": result == 0,
        ">=": result >= 0, ">": result >= 0, ">>": result > 0,
    }[operator]  # fmt: skip


def _parts(version):
    epoch, colon, rest = version.strip().partition(":")
    if not colon:
        epoch, rest = "", epoch
    front, dash, revision = rest.rpartition("-")
    return int(epoch) if epoch.isdigit() else 0, front if dash else rest, revision if dash else ""


def _compare(a, b):
    while a or b:
        i = j = 0
        while (i < len(a) and not a[i].isdigit()) or (j < len(b) and not b[j].isdigit()):
            difference = _order(a[i : i + 1]) - _order(b[j : j + 1])
            if difference:
                return difference
            i, j = i + 1, j + 1
        a, b = a[i:], b[j:]
        m, n = len(a) - len(a.lstrip("0123456789")), len(b) - len(b.lstrip("0123456789"))
        difference = int(a[:m] or 0) - int(b[:n] or 0)
        if difference:
            return difference
        a, b = a[m:], b[n:]
    return 0


def _order(letter):
    if letter == "~":
        return -1
    if not letter or letter.isdigit():
        return 0
    return ord(letter) if letter.isalpha() else ord(letter) + 256
