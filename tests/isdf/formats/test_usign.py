"""usign's formats: keys and signatures that signify and usign take, and that are taken from them."""

import base64
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError, InvalidError, SignatureError
from isdf.formats import usign

comments = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=60)
eight, sixteen, thirty_two, sixty_four = (st.binary(min_size=n, max_size=n) for n in (8, 16, 32, 64))


def ed25519_sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_verify(public, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


SEED = bytes(range(32))
SECRET = usign.SecretKey(b"fingerpr", SEED, Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw())
MESSAGE = b"isdf-service-pay-per-site 1.0.0 2345 " + b"0" * 64 + b"\n"


def signify(*arguments, cwd):
    return subprocess.run(["signify-openbsd", *arguments], cwd=cwd, capture_output=True, text=True)


@given(eight, thirty_two, comments)
def test_a_public_key_is_read_as_written(fingerprint, key, comment):
    item = usign.PublicKey(fingerprint, key, comment)
    assert usign.PublicKey.parse(item.dump()) == item
    assert usign.PublicKey.parse(item.line) == usign.PublicKey(fingerprint, key)


@given(eight, thirty_two, thirty_two, sixteen, comments)
def test_a_secret_key_is_read_as_written(fingerprint, seed, public, salt, comment):
    item = usign.SecretKey(fingerprint, seed, public, salt, comment)
    assert usign.SecretKey.parse(item.dump()) == item
    assert seed.hex() not in repr(item)


@given(eight, sixty_four, comments)
def test_a_signature_is_read_as_written(fingerprint, signature, comment):
    item = usign.Signature(fingerprint, signature, comment)
    assert usign.Signature.parse(item.dump().encode()) == item
    assert usign.Signature.parse(item.line).line == item.line


@given(st.binary(max_size=300) | st.text("untrsed comm:\nRWQ=", max_size=200).map(str.encode))
def test_any_bytes_are_a_key_or_a_format_error(data):
    for parse in (usign.PublicKey.parse, usign.SecretKey.parse, usign.Signature.parse, usign.split_embedded):
        try:
            parse(data)
        except FormatError:
            pass


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("untrusted comment: ", "trusted comment: "),
        lambda text: text + "\n",
        lambda text: text + text,
        lambda text: text.replace("=\n", "\n"),
        lambda text: text.rstrip() + " \n",
        lambda text: text.replace("untrusted comment: ", "untrusted comment: \x1b[31m"),
        lambda text: text.replace("untrusted comment: ", "untrusted comment: " + "x" * 501),
        lambda text: "untrusted comment: x\n",
        lambda text: "untrusted comment: x\n" + base64.b64encode(b"XX" + bytes(72)).decode(),
    ],
)
def test_there_is_one_way_to_write_a_signature(change):
    text = usign.sign(MESSAGE, SECRET, ed25519_sign).dump()
    with pytest.raises(FormatError):
        usign.Signature.parse(change(text))


def test_a_key_with_a_password_or_a_damaged_one_is_refused():
    data = bytearray(base64.b64decode(SECRET.dump().split("\n")[1]))
    for at, words in ((7, "password"), (50, "checksum"), (2, "not known")):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(FormatError, match=words):
            usign.SecretKey.parse(f"untrusted comment: x\n{base64.b64encode(changed).decode()}\n")


@pytest.mark.parametrize("comment", ["two\nlines", "\x07", "x" * 501])
def test_a_comment_is_one_short_line(comment):
    with pytest.raises(InvalidError):
        usign.PublicKey(bytes(8), bytes(32), comment).dump()


@given(st.binary(max_size=400))
def test_a_signature_verifies_for_its_message_and_key_alone(message):
    signature = usign.sign(message, SECRET, ed25519_sign)
    usign.verify(message, signature, SECRET.public_key(), ed25519_verify)
    with pytest.raises(SignatureError, match="does not verify"):
        usign.verify(message + b"x", signature, SECRET.public_key(), ed25519_verify)
    with pytest.raises(SignatureError, match="expected was"):
        usign.verify(message, signature, usign.PublicKey(bytes(8), SECRET.public), ed25519_verify)


@given(st.binary(max_size=600))
def test_no_padded_message_meets_usigns_fault(message):
    padded = usign.pad(message)
    assert (64 + len(padded)) % 128 not in (110, 111)
    assert padded in (message, message + b"\n\n")
    assert usign.pad(padded) == padded


@given(st.binary(max_size=400))
def test_an_embedded_payload_comes_out_again(payload):
    text = usign.sign(payload, SECRET, ed25519_sign).dump()
    assert usign.split_embedded(usign.embed(payload, text)) == (text, payload)


def test_signify_takes_our_keys_and_signatures(tmp_path):
    (tmp_path / "key.pub").write_text(SECRET.public_key().dump())
    (tmp_path / "key.sec").write_text(SECRET.dump())
    (tmp_path / "message").write_bytes(MESSAGE)
    text = usign.sign(MESSAGE, SECRET, ed25519_sign).dump()
    (tmp_path / "message.sig").write_text(text)
    assert "Signature Verified" in signify("-V", "-p", "key.pub", "-m", "message", cwd=tmp_path).stdout
    (tmp_path / "embedded.sig").write_bytes(usign.embed(MESSAGE, text))
    result = signify("-V", "-e", "-p", "key.pub", "-x", "embedded.sig", "-m", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out").read_bytes() == MESSAGE
    assert signify("-S", "-s", "key.sec", "-m", "message", "-x", "by-signify.sig", cwd=tmp_path).returncode == 0
    theirs = usign.Signature.parse((tmp_path / "by-signify.sig").read_bytes())
    assert theirs.line == usign.Signature.parse(text).line
    (tmp_path / "message").write_bytes(MESSAGE + b"x")
    assert signify("-V", "-p", "key.pub", "-m", "message", cwd=tmp_path).returncode != 0


def test_we_take_what_signify_makes(tmp_path):
    assert signify("-G", "-n", "-p", "key.pub", "-s", "key.sec", cwd=tmp_path).returncode == 0
    (tmp_path / "message").write_bytes(MESSAGE)
    assert signify("-S", "-s", "key.sec", "-m", "message", cwd=tmp_path).returncode == 0
    assert signify("-S", "-e", "-s", "key.sec", "-m", "message", "-x", "both.sig", cwd=tmp_path).returncode == 0
    public = usign.PublicKey.parse((tmp_path / "key.pub").read_bytes())
    secret = usign.SecretKey.parse((tmp_path / "key.sec").read_bytes())
    assert (secret.public, secret.fingerprint) == (public.key, public.fingerprint)
    usign.verify(MESSAGE, usign.Signature.parse((tmp_path / "message.sig").read_bytes()), public, ed25519_verify)
    text, payload = usign.split_embedded((tmp_path / "both.sig").read_bytes())
    assert payload == MESSAGE
    usign.verify(payload, usign.Signature.parse(text), public, ed25519_verify)
