"""What a router may believe, as a state machine without I/O: keys, then assignment, then index, then packages.

The rules, in the order in which they are applied:

0. A keys statement is believed when nothing in it is unsigned, it names the catalogue key that this router knows, or
   (for its first one) that its claim code names, this catalogue key signed it, and its version is higher than that of
   the last one believed. The last one itself, byte for byte, changes nothing and is no fault. So whoever holds the
   assignment key or the authority can be replaced and never comes back, and the catalogue key is for ever.
1. An assignment is believed when the assignment key of the keys statement signed it, nothing in it is unsigned, it is
   for this device, its serial is not below that of the last one believed (and where it is equal, it is the same
   assignment), it has not expired, and it was not issued more than a day from now by a clock that is set, or else by
   the date of the answer that brought it. The last one counts only if the same key signed it: whoever stole the key
   before may have used up all serials. Nor does the time that the last one said count against one by another key, or
   against a newer one that was issued before it: one of the two was wrong about the time.
2. An index is believed when it has the size and the hash that the assignment says, and names each package that the
   assignment wants with the same version, file name, size and hash.
3. A package is believed when it has the size and the hash that the assignment says, the *catalogue* key signed its
   name, version, size and hash, and the look into it finds nothing but a service of its name.

So the holder of the assignment key can choose among packages that the catalogue key vouched for, and add none.
After a refusal the state is as before; nothing that was refused is kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from isdf.errors import FormatError, IsdfError, RefusedError, SignatureError
from isdf.formats import assignment as wire
from isdf.formats import ipk, opkg_index, usign
from isdf.formats import keys as statements
from isdf.formats.claim import Claim
from isdf.formats.service_package import check_service_package
from isdf.formats.statement import MAX_INT

KEYS_MAX = statements.MAX_SIZE + 1000  # bytes, signature included
ASSIGNMENT_MAX = 256 << 10
INDEX_MAX = 1 << 20
PACKAGE_MAX = 1 << 20
UNPACKED_MAX = 4 << 20
CLOCK_TOLERANCE = 86400.0  # seconds

Verify = Callable[[bytes, usign.Signature, usign.PublicKey], bool]
"""`(message, signature, key) -> whether it verifies`."""


class TrustedKeys:
    """`keys` is the statement believed last, and None on a router that begins: then the `claim` decides.

    A router that begins anew has both; the claim names the catalogue key then, and where that is the key of `keys`, no
    older statement is believed than that.
    """

    def __init__(self, verify: Verify, *, claim: Claim | None = None, keys: statements.Keys | None = None) -> None:
        if claim is None and keys is None:
            raise ValueError("without a claim and without keys there is nothing to begin with")
        self._verify, self._claim, self.keys = verify, claim, keys

    def accept(self, data: bytes) -> statements.Keys:
        """The statement in `data`, as it came over the wire (signature embedded)."""
        signature, payload = _signed(data, KEYS_MAX, "the keys statement")
        new, last = statements.parse(payload), self.keys
        key = usign.PublicKey.parse(new.catalogue_key)
        if self._claim is not None and not self._claim.fits(key):
            raise SignatureError("the manager's catalogue key is not the one of the claim code; is its address right?")
        if self._claim is None and new.catalogue_key != last.catalogue_key:
            raise SignatureError("the keys statement names another catalogue key than this router's")
        if not _is_by(self._verify, key, signature, payload):
            raise SignatureError("the keys statement is not signed by the catalogue key that it names")
        if last is not None and new != last and last.catalogue_key == new.catalogue_key and new.version <= last.version:
            raise RefusedError(f"the keys statement's version {new.version} is not higher than {last.version}")
        self.keys = new
        return new


class Trusted:
    """`now` is Unix time; `clock_set` says whether it may be relied on to call something *too new*; `date` is for that
    where it may not. `serial`, `issued`, `digest` and `signer` (the fingerprint of its key, hex) are those of the last
    assignment; `unsigned` is the time if that is not asked.

    `vouched` are signatures of the catalogue key that were verified before, each with its message: a router with ten
    services need not verify nine again.
    """

    def __init__(
        self, device: str, assignment_key: usign.PublicKey, catalogue_key: usign.PublicKey, verify: Verify, *,
        now: float, clock_set: bool = True, serial: int = 0, digest: str | None = None, signer: str | None = None,
        vouched: dict[str, str] | None = None, issued: int = 0, unsigned: float | None = None,
        date: float | None = None,
    ) -> None:  # fmt: skip
        self._device, self._verify = device, verify
        self._now, self._unsigned = now, now if unsigned is None else unsigned
        self._latest = now if clock_set else date
        self._assignment_key, self._catalogue_key = assignment_key, catalogue_key
        same = signer in (None, assignment_key.fingerprint.hex())
        self._serial, self._digest, self._issued = (serial, digest, issued) if same else (0, None, MAX_INT)
        self._vouched = vouched or {}
        self.assignment: wire.Assignment | None = None

    def accept_assignment(self, data: bytes) -> wire.Assignment:
        """The assignment in `data`, as it came over the wire (signature embedded)."""
        signature, payload = _signed(data, ASSIGNMENT_MAX, "the assignment")
        if not _is_by(self._verify, self._assignment_key, signature, payload):
            raise SignatureError("the assignment is not signed by this router's assignment key")
        new = wire.parse(payload)
        if new.device != self._device:
            raise RefusedError(f"the assignment is for device {new.device!r}; this is {self._device!r}")
        if new.serial < self._serial:
            raise RefusedError(f"the assignment's serial {new.serial} is older than {self._serial}, the last one's")
        for entry in new.services:
            if entry.size > PACKAGE_MAX:
                raise RefusedError(f"{entry.filename} has {entry.size} bytes; {PACKAGE_MAX} are the most")
        digest = hashlib.sha256(payload).hexdigest()
        if new.serial == self._serial and self._digest not in (None, digest):
            raise RefusedError(f"the assignment's serial {new.serial} was used before, for another assignment")
        if new.expires <= (self._unsigned if new.issued < self._issued else self._now):
            raise RefusedError(f"the assignment of serial {new.serial} expired on {_date(new.expires)}; {self._here}")
        if self._latest is not None and new.issued > self._latest + CLOCK_TOLERANCE:
            raise RefusedError(f"the assignment of serial {new.serial} was issued on {_date(new.issued)}; {self._here}")
        self.assignment = new
        return new

    def accept_index(self, data: bytes) -> None:
        """`data` is the index (`Packages`) that belongs to the assignment."""
        expected = (self.assignment.index_size, self.assignment.index_sha256)
        if (len(data), hashlib.sha256(data).hexdigest()) != expected:
            raise SignatureError("the package index is not the one that the assignment names")
        stanzas = {fields["Package"]: fields for fields in opkg_index.parse(data)}
        for entry in self.assignment.services:
            fields = stanzas.get(entry.package)
            if fields is None:
                raise FormatError(f"the package index does not have {entry.package}, which the assignment wants")
            for field, value in (
                ("Version", entry.version), ("Filename", entry.filename),
                ("Size", str(entry.size)), ("SHA256sum", entry.sha256),
            ):  # fmt: skip
                if fields.get(field) != value:
                    raise FormatError(
                        f"the package index says {field} {fields.get(field)!r} of {entry.package}; "
                        f"the assignment says {value!r}"
                    )

    def accept_package(self, entry: wire.Entry, data: bytes) -> ipk.Package:
        """`data` is the package of `entry`."""
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise SignatureError(f"{entry.filename} is not the package that the assignment names: its hash differs")
        if not self.is_vouched(entry) and not _is_by(
            self._verify, self._catalogue_key, usign.Signature.parse(entry.signature), entry.catalogue_message()
        ):
            raise SignatureError(f"{entry.package} {entry.version} is not signed by the catalogue key")
        try:
            package = ipk.read(data, max_size=UNPACKED_MAX)
            check_service_package(package, entry.name)
            if package.control["Version"] != entry.version:
                raise FormatError(f"its version is {package.control['Version']}, not {entry.version}")
        except IsdfError as error:
            raise type(error)(f"{entry.filename}: {error}") from None
        return package

    @property
    def _here(self) -> str:
        return f"here it is {_date(self._now)}, by a clock that may be wrong"

    def is_vouched(self, entry: wire.Entry) -> bool:
        """Whether the catalogue's signature of `entry` was verified before."""
        return self._vouched.get(entry.signature) == entry.catalogue_message().decode()


def _date(seconds: float) -> str:
    """A Unix time for people."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):  # no year has so many digits
        return f"second {seconds:.0f}"


def _signed(data: bytes, limit: int, what: str) -> tuple[usign.Signature, bytes]:
    """The signature in front of `data` and what it is of; nothing beside these two is in there."""
    if len(data) > limit:
        raise FormatError(f"{what} has over {limit} bytes")
    try:
        text, payload = usign.split_embedded(data)
        signature = usign.Signature.parse(text)
    except FormatError as error:
        raise FormatError(f"{what} has no signature that can be read: {error}") from None
    if text != usign.Signature(signature.fingerprint, signature.signature).dump():
        raise FormatError(f"{what} has a signature with a comment of its own; nobody vouches for that")
    return signature, payload


def _is_by(verify: Verify, key: usign.PublicKey, signature: usign.Signature, message: bytes) -> bool:
    return signature.fingerprint == key.fingerprint and verify(message, signature, key)
