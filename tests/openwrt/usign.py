"""A stand-in for OpenWrt's `usign`: same options, output and exit status. A tool for development.

Run it as `python3 -IS usign.py -V|-S|-F|-G ...`; it imports next to nothing, because its start counts in the time from
a push to its effect. Reference: usign `main.c`.
"""

import binascii
import io
import os
import sys

_USAGE = "usage: usign -V -m MESSAGE -p KEY|-P FOLDER [-x SIGNATURE] [-q] | -S -m MESSAGE -s KEY [-x SIGNATURE] | \
-F -p KEY|-s KEY|-x SIGNATURE | -G -p KEY -s KEY [-c COMMENT]"


class _End(Exception):
    """The program ends with a line on standard error, if any, and the exit status 1."""


def main(arguments):
    """What `usign ARGUMENTS` does; the exit status."""
    try:
        commands, values = _options(arguments)
        if len(commands) != 1:
            raise _End(_USAGE)
        return {"V": _verify, "S": _sign, "F": _fingerprint, "G": _generate}[commands[0]](values)
    except _End as end:
        if str(end):
            print(end, file=sys.stderr)
        return 1


def _options(arguments):
    """The commands among `arguments`, and the value of each option."""
    commands, values, rest = [], {}, list(arguments)
    while rest:
        word = rest.pop(0)
        letters = word[1:] if word.startswith("-") else ""
        if letters == "-":
            break
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "VSFG":
                commands.append(letter)
            elif letter == "q":
                values["q"] = True
            elif letter in "cmpPsx" and (letters or rest):
                values[letter] = letters or rest.pop(0)
                letters = ""
            else:
                raise _End(f"usign: invalid option -- '{letter}'\n{_USAGE}")
    if "m" in values and "x" not in values:
        if values["m"] == "-":
            raise _End("Need signature file when reading message from stdin")
        values["x"] = values["m"] + ".sig"
    return commands, values


def _verify(values):
    if "m" not in values or not values.keys() & {"p", "P"}:
        raise _End(_USAGE)
    quiet = "q" in values
    message = _open(values["m"], quiet)
    signature = _decoded(values["x"], 74, "Failed to decode signature", quiet)
    key = values.get("p") or f"{values['P']}/{signature[2:10].hex()}"
    public = _decoded(key, 42, "Failed to decode public key", quiet)
    ok = _ed25519().verify(public[10:], signature[10:], message)
    if not quiet:
        print("OK" if ok else "verification failed", file=sys.stderr)
    return 0 if ok else 1


def _sign(values):
    if not {"s", "m", "x"} <= values.keys():
        raise _End(_USAGE)
    secret = _decoded(values["s"], 104, "Failed to decode secret key")
    if secret[4:8] != bytes(4):
        raise _End("Password protected secret keys are not supported")
    try:
        with open(values["m"], "rb") as file:
            message = file.read()
    except OSError as error:
        raise _End(f"Cannot open message file: {error.strerror}") from None
    if not message:
        raise _End(f"Cannot open message file: {os.strerror(22)}")  # it maps the file, and an empty one cannot be
    fingerprint = secret[32:40]
    data = b"Ed" + fingerprint + _ed25519().sign(secret[40:72], message)
    _write(values, "x", f"signed by key {fingerprint.hex()}", data)
    return 0


def _fingerprint(values):
    given = [letter for letter in "spx" if letter in values]
    if len(given) != 1:
        raise _End(f"Need one secret/public key or signature\n{_USAGE}")
    size, start = {"s": (104, 32), "p": (42, 2), "x": (74, 2)}[given[0]]
    data = _decoded(values[given[0]], size, "", magic=b"")
    print(data[start : start + 8].hex())
    return 0


def _generate(values):
    if not {"s", "p"} <= values.keys():
        raise _End(_USAGE)
    fingerprint, salt, seed = os.urandom(8), os.urandom(16), bytearray(os.urandom(32))
    seed[0] &= 248
    seed[31] = seed[31] & 127 | 64
    public = _ed25519().public_key(bytes(seed))
    pair = bytes(seed) + public
    checksum = _ed25519().sha512(pair).digest()[:8]
    secret = b"EdBK" + bytes(4) + salt + checksum + fingerprint + pair
    _write(values, "s", f"private key {fingerprint.hex()}", secret)
    _write(values, "p", f"public key {fingerprint.hex()}", b"Ed" + fingerprint + public)
    return 0


def _open(name, quiet=False):
    try:
        if name == "-":
            return sys.stdin.buffer.read()
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        raise _End("" if quiet else f"Cannot open file '{name}' for reading") from None


def _decoded(name, size, complaint, quiet=False, magic=b"Ed"):
    """What stands in base64 below the first line of the file `name`, `size` bytes."""
    text = b"".join(_below_the_first_line(_open(name, quiet)).split())
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        data = b""
    if len(data) != size or not data.startswith(magic) or binascii.b2a_base64(data, newline=False) != text:
        raise _End(complaint)
    return data


def _below_the_first_line(content):
    """As C reads it: in pieces of up to 510 bytes, and up to a NUL. So a NUL hides the end of its line."""
    pieces = io.BytesIO(content)
    while piece := pieces.readline(510):
        if b"\n" in piece.partition(b"\0")[0]:
            return pieces.read(510).partition(b"\0")[0]
    raise _End("Premature end of file")


def _write(values, letter, comment, data):
    comment, text = values.get("c", comment), binascii.b2a_base64(data).decode()
    text = f"untrusted comment: {comment}\n{text}"
    try:
        if values[letter] == "-":
            sys.stdout.write(text)
            return
        with open(values[letter], "w") as file:
            file.write(text)
    except OSError:
        raise _End(f"Cannot open file '{values[letter]}' for writing") from None


def _ed25519():
    import ed25519  # beside this file; -I keeps its folder out of the path

    return ed25519


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1:]))
