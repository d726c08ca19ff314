"""What somebody makes who changes what is delivered or has stolen a key, and packages that no honest tool builds."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import time
from collections.abc import Callable, Iterator

from simulator import Operator, sign

from attacks.home import Home
from attacks.isp import Isp
from attacks.relay import Exchange, saying
from isdf.formats import assignment as wire
from isdf.formats import ipk, opkg_index, stanza, usign
from isdf.value import replace

FOLDER = "/usr/lib/isdf/services/film"


def signed(payload: bytes, key: usign.SecretKey) -> bytes:
    """`payload` as it travels, with its signature by `key`."""
    return usign.embed(payload, sign(payload, key).dump())


def reassigned(data: bytes, key: usign.SecretKey, **fields) -> bytes:
    """The assignment `data` with other `fields`, signed by `key`."""
    _, payload = usign.split_embedded(data)
    return signed(wire.dump(replace(wire.parse(payload), **fields)), key)


def flipped(data: bytes, byte: int) -> bytes:
    """`data` with one bit of that byte changed."""
    changed = bytearray(data)
    changed[byte] ^= 1
    return bytes(changed)


class Thief(Operator):
    """Somebody who has both keys of the manager, and gives a home what it runs already, and more beside it.

    A field of `Operator` that a test sets makes it somebody who has less.
    """

    def __init__(self, isp: Isp, home: Home) -> None:
        received = wire.parse(usign.split_embedded((home.root / "etc/isdf/assignment").read_bytes())[1])
        super().__init__(received.device)
        self._relay, self._received = isp.relay, received
        self.catalogue_key, self.assignment_key = isp.catalogue_key, isp.assignment_key
        self.issued = int(time.time())
        self.serial, self.expires = self.issued * 1000, self.issued + 7 * 86400
        for entry in received.services:
            self.entries[entry.name] = entry
            self.packages[entry.filename] = home.package(entry.name)
        self.serial = max(received.serial + 1, int(time.time() * 1000))

    def subscribe(self, name: str, version: str = "1.0.0", **fields) -> wire.Entry:
        return super().subscribe(name, version, **{"since": self.issued - 60, **fields})

    def statement(self, **fields) -> wire.Assignment:
        """As the manager's last one, in what this knows nothing of."""
        made = super().statement()
        own = {name: getattr(made, name) for name in ("serial", "issued", "expires", "services")}
        own |= {"index_sha256": made.index_sha256, "index_size": made.index_size}
        return replace(self._received, **own | fields)

    def packages_file(self) -> bytes:
        """An honest index, whatever is in the packages."""
        if self.index is not None:
            return self.index
        stanzas = []
        for entry in self.entries.values():
            control = {
                "Package": entry.package, "Version": entry.version, "Depends": "isdf-agent", "Architecture": "all",
            }  # fmt: skip
            stanzas.append(opkg_index.entry(control, entry.filename, entry.size, entry.sha256))
        return opkg_index.dump(stanzas)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Answer in the manager's place."""
        self.serial += 1
        files = rf"^/feed/{self.device}/[^/]+/[0-9a-f]{{64}}/"
        with (
            self._relay.answering(rf"^/device/{self.device}/assignment$", saying(self.assignment())),
            self._relay.answering(files, self._file),
        ):
            yield

    def _file(self, exchange: Exchange) -> None:
        name = exchange.path.rpartition("/")[2]
        files = {"Packages": self.packages_file(), "Packages.sig": self.index_signature()} | self.packages
        exchange.answer(200, files[name]) if name in files else exchange.answer(404)


# -- packages at the level of bytes


def member(
    path: str, data: bytes = b"x\n", mode: int = 0o644, kind: bytes = tarfile.REGTYPE, target: str = "", uid: int = 0
) -> tuple[tarfile.TarInfo, bytes]:
    """An entry of an archive, by whatever name."""
    info = tarfile.TarInfo(path)
    info.mode, info.type, info.linkname, info.uid = mode, kind, target, uid
    info.uname = info.gname = "root"
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def archive(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def package(
    version: str, *more: tuple[tarfile.TarInfo, bytes], control: Callable[[bytes], bytes] = lambda text: text,
    beside: dict[str, bytes] | None = None, outer: tuple = (),
) -> bytes:  # fmt: skip
    """The package of the service `film`: `more` entries, its control text changed, files `beside` control, more
    entries of the `outer` archive. With none of these it is what `publish` could have made."""
    fields = {
        "Package": "isdf-service-film", "Version": version, "Depends": "isdf-agent", "Architecture": "all",
        "Require-User": "isdf-film:isdf", "Installed-Size": "1000", "Description": "Made for a test",
    }  # fmt: skip
    scripts = ipk.STANDARD_SCRIPTS | (beside or {})
    inside = [member("./control", control(stanza.dump(fields)))]
    inside += [member(f"./{name}", body, 0o755 if body.startswith(b"#!") else 0o644) for name, body in scripts.items()]
    content = [member(f".{FOLDER}/service.py", b"pass\n"), member(f".{FOLDER}/service.json", b'{"may": {}}\n')]
    members = [member("./debian-binary", b"2.0\n"), member("./data.tar.gz", archive([*content, *more]))]
    return archive([*members, member("./control.tar.gz", archive(inside)), *outer])
