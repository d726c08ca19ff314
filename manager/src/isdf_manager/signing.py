"""Ed25519 by the library `cryptography`, for the keys of `isdf.formats.usign`, and the key files of the home folder.

The catalogue key vouches for code, the assignment key for who runs what. `serve` needs the
second alone; the first may lie on another machine and be given to `publish --key`.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isdf.errors import FormatError, InvalidError
from isdf.formats import usign


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """The 64-byte signature; the primitive that `usign.sign` asks for."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """The primitive that `usign.verify` asks for."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def generate(comment: str) -> usign.SecretKey:
    """A new key pair."""
    seed = os.urandom(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return usign.SecretKey(os.urandom(8), seed, public, os.urandom(16), f"{comment} secret key")


def write_new(path: Path, text: str, mode: int) -> None:
    """A new file, never over another, on the disk when this returns; `FileExistsError` otherwise."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w") as file:
        try:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:  # a full disk leaves no part of it
            path.unlink()
            raise


def replace(path: Path, text: str, mode: int) -> None:
    """`path` with this text, old or new at any moment, on the disk when this returns."""
    beside = path.with_name(f".{path.name}")
    beside.unlink(missing_ok=True)
    write_new(beside, text, mode)
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_secret(path: Path, purpose: str) -> usign.SecretKey:
    """The secret key in the file `path`; `InvalidError` says what to do when it is not one."""
    try:
        return usign.SecretKey.parse(path.read_text())
    except FileNotFoundError:
        raise InvalidError(f"the {purpose} key {path} is not there; name its file or restore it") from None
    except (OSError, UnicodeDecodeError, FormatError) as error:
        raise InvalidError(f"the {purpose} key {path} cannot be used: {error}") from None
